"""The tree of a command line, and whether it can be believed.

The grammar reads what bash would refuse, and now and then misreads what bash takes. These checks find that: text that
stands in no leaf, and lines that end inside of a command.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Language, Node

DEEPEST_TREE = 60


def parse(source: bytes) -> Node:
    """The root of the tree; `has_error` says whether it is whole."""
    from tree_sitter import Parser

    return Parser(_language()).parse(source).root_node  # a parser of its own: no state of another line in it


@cache
def _language() -> Language:
    import tree_sitter_bash
    from tree_sitter import Language

    return Language(tree_sitter_bash.language())


def is_too_deep(root: Node) -> bool:
    """Whether more stands inside of each other than is looked into."""
    level = [root]
    for _ in range(DEEPEST_TREE):
        level = [child for node in level for child in node.children]
        if not level:
            return False
    return True


def all_below(node: Node) -> list[Node]:
    """A node and all below it, in no order."""
    found, left = [], [node]
    while left:
        one = left.pop()
        found.append(one)
        left += one.children
    return found


def is_broken(node: Node) -> bool:
    """Whether a line ends between the words of a command, where the shell would end the command.

    The grammar takes a line that starts with a backslash for more of the line before.
    """
    source, at = node.text or b"", node.start_byte
    for child in node.children:
        between = source[at - node.start_byte : child.start_byte - node.start_byte]
        if b"\n" in between.replace(b"\\\n", b""):
            return True
        at = child.end_byte
    return False


_BETWEEN = re.compile(rb"(?:[ \t\n]|\\\n)*")


def is_unaccounted(root: Node, source: bytes) -> bool:
    """Whether some text stands in no leaf of the tree: then the parser skipped something."""
    at = 0
    for leaf in _leaves(root):
        if leaf.is_missing or (leaf.start_byte > at and not _BETWEEN.fullmatch(source, at, leaf.start_byte)):
            return True
        at = max(at, leaf.end_byte)
    return not _BETWEEN.fullmatch(source, at)


_WHOLE = frozenset({"string", "heredoc_body", "concatenation", "arithmetic_expansion", "expansion", "regex"})
"""Read from their text, whatever stands between their parts."""


def _leaves(root: Node) -> list[Node]:
    found, left = [], [root]
    while left:
        one = left.pop()
        if one.children and one.type not in _WHOLE:
            left += reversed(one.children)
        else:
            found.append(one)
    return found
