"""A command line taken apart: every command in it, every file that a redirection names, and what nobody can know.

Parsed by tree-sitter's bash grammar. A parser that misreads a line must not let anything through: a line with an error
in it, a construct that is not expected, and text that no part of the tree accounts for make the line unknown.

Source: https://www.gnu.org/software/bash/manual/bash.html (shell grammar, expansions, redirections).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from equitrcoder.rules.trees import all_below, is_broken, is_too_deep, is_unaccounted, parse
from equitrcoder.rules.words import HOLE, MARKS, SPLIT, ansi_c_text, quoted_text, raw_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tree_sitter import Node

Words = tuple[str, ...]
"""One command as the shell would see it: quotes and escapes taken away; HOLE and SPLIT stand for what is not known."""

LONGEST_LINE = 32_768
DEEPEST = 6
"""Scripts inside scripts (`bash -c "bash -c …"`)."""

_GROUPS = frozenset(
    "program list pipeline subshell compound_statement if_statement elif_clause else_clause while_statement "  # noqa: SIM905
    "do_group case_statement case_item negated_command command_substitution "
    "process_substitution variable_assignments heredoc_body".split()
)
_WORDS = frozenset(
    "word number string raw_string ansi_c_string translated_string concatenation simple_expansion expansion "  # noqa: SIM905
    "command_substitution process_substitution arithmetic_expansion brace_expression extglob_pattern regex".split()
)
_NO_FILES = frozenset({"/dev/null", "/dev/stdout", "/dev/stderr", "/dev/stdin"})
_PLAIN_SUM = re.compile(r"[0-9+\-*/%()<>=!&|^~?:,\s]*")
_ARITHMETIC_TESTS = frozenset({"-v", "-R", "-eq", "-ne", "-lt", "-le", "-gt", "-ge"})
"""Their operands are evaluated, and an index in them may hold a command: [[ 'a[$(id)]' -eq 0 ]] runs id."""
_STRANGE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\xa0\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff\ud800-\udfff]"
)
_UNSAFE_NAME = re.compile(r"[A-Z]|_proxy$|^_$|^histchars$|^auto_resume$")
_SAFE_NAMES = frozenset(
    "CI NO_COLOR FORCE_COLOR CLICOLOR COLUMNS LINES PYTHONUNBUFFERED PYTHONDONTWRITEBYTECODE PYTHONHASHSEED "  # noqa: SIM905
    "RUST_BACKTRACE CARGO_TERM_COLOR DEBUG VERBOSE".split()
)
_TURNS_BASH = re.compile(r"^(BASH_ENV|ENV|PS4|PROMPT_COMMAND|SHELLOPTS|BASHOPTS|IFS|LD_.*|DYLD_.*|GIT_.*|BASH_FUNC.*)$")
"""Variables that make a shell, or git, run something that the line does not show."""


class Line:
    """What a command line holds.

    Attributes:
        commands: Every simple command, those inside of others too (`sudo git push` gives it and `git push`).
        parts: The commands that must all be allowed: a transparent one (`time`) leaves only what it starts.
        files: ("write" or "read", path) of every redirection; HOLE or SPLIT in a path: not known.
        unknown: Why not everything in it is known; empty: it is.
        unsafe: Why no rule may allow it, although everything in it is known.
    """

    __slots__ = ("commands", "files", "moved", "parts", "unknown", "unsafe")

    def __init__(self) -> None:
        self.commands: list[Words] = []
        self.parts: list[Words] = []
        self.files: list[tuple[str, str]] = []
        self.unknown: list[str] = []
        self.unsafe: list[str] = []
        self.moved = False
        """Whether it changes the folder: relative paths then name other files."""


def take_apart(text: str) -> Line:
    """Take a command line apart. Never raises.

    Example:
        >>> line = take_apart("make test && g'it' push > out.txt")
        >>> line.parts, line.files, line.unknown
        ([('make', 'test'), ('git', 'push')], [('write', 'out.txt')], [])
    """
    line = Line()
    try:
        Taker(line).take(text)
    except RecursionError:
        line.unknown.append("it is nested too deeply")
    except (ValueError, IndexError):  # a node of a broken line is not what the grammar says
        line.unknown.append("it cannot be parsed")
    return line


class Taker:
    """Walks the tree of a line and notes what it finds in `line`."""

    def __init__(self, line: Line, depth: int = 0) -> None:
        self.line = line
        self.depth = depth

    def take(self, text: str) -> None:
        """Note what stands in a script."""
        if len(text) > LONGEST_LINE:
            self.unknown(f"it is longer than {LONGEST_LINE:,} characters")
        elif self.depth > DEEPEST:
            self.unknown("it holds scripts inside scripts inside scripts")
        elif re.search(r"[^ \t\n]\\\n[^ \t\n]", text):
            self.unknown("a word in it goes on in the next line")
        elif _STRANGE.search(text):
            self.unknown("it holds control characters or spaces that cannot be seen")
        else:
            source = text.encode()
            root = parse(source)
            if root.has_error:
                self.unknown("it cannot be parsed")
            elif is_unaccounted(root, source):
                self.unknown("a part of it cannot be parsed")
            if is_too_deep(root):
                self.unknown("it is nested too deeply")
            else:
                self.visit(root)

    def unknown(self, why: str) -> None:
        """Note that something cannot be known."""
        if why not in self.line.unknown:
            self.line.unknown.append(why)

    def unsafe(self, why: str) -> None:
        """Note why no rule may allow the line."""
        if why not in self.line.unsafe:
            self.line.unsafe.append(why)

    def visit(self, node: Node) -> None:
        """Note what a node and all below it hold."""
        kind = node.type
        if kind in ("redirected_statement", "declaration_command") and is_broken(node):
            self.unknown("where a command in it ends is not sure")
        if kind == "redirected_statement":
            self.redirected(node)
        elif kind in _GROUPS:
            for child in node.named_children:
                self.visit(child)
        elif kind in ("comment", "heredoc_start", "heredoc_content", "heredoc_end", "file_descriptor"):
            pass
        elif kind in _WORDS:
            self.word(node)
        elif kind in _VISITS:
            _VISITS[kind](self, node)
        else:
            self.unknown(f"it holds a construct that is not known here ({kind})")
            for child in node.named_children:
                self.visit(child)

    def redirected(self, node: Node) -> None:
        """A command with redirections. In `git >x push` the grammar has `push` as one more file; it is a word."""
        later = [
            word
            for child in node.named_children
            if child.type == "file_redirect"
            for word in [one for one in child.named_children if one.type in _WORDS][1:]
        ]
        for number, child in enumerate(node.named_children):
            if not number and child.type == "command":
                self.command(child, later)
            else:
                if not number and later:
                    self.unknown("a word stands behind a redirection")
                self.visit(child)

    def command(self, node: Node, later: Sequence[Node] = ()) -> None:
        """Note a simple command.

        Args:
            later: Words of it that stand behind its redirections.
        """
        if is_broken(node):
            self.unknown("where a command in it ends is not sure")
        words: list[str] = []
        for child in node.children:
            if child.type == "command_name":
                words.append(self.word(child.children[0]) if child.children else HOLE)
            elif child.type == "$":  # $"…", translated by the locale
                words.append(HOLE)
            elif child.type in _WORDS:
                words.append(self.word(child))
            elif child.is_named:
                self.visit(child)  # assignments before it, redirections among its words
            elif child.type not in (";", "&"):
                words.append(
                    child.text.decode("utf-8", "replace") if child.text else HOLE
                )  # = and the like come as bare signs
        self.run((*words, *map(self.word, later)))

    def run(self, words: Words) -> None:
        """Note a command, and what it starts in its turn."""
        from equitrcoder.rules.wrapping import unwrap

        if words:
            self.line.commands.append(words)
            unwrap(self, words)

    def script(self, text: str) -> None:
        """Note what a script holds that the line hands to a shell."""
        if any(mark in text for mark in MARKS):
            self.unknown("it runs a text that is put together while it runs")
        else:
            Taker(self.line, self.depth + 1).take(text)

    def assign(self, name: str) -> None:
        """Note that a variable is set."""
        if _TURNS_BASH.match(name):
            self.unknown(f"it sets {name}, which can make other programs run")
        elif "[" in name or any(mark in name for mark in MARKS):
            self.unknown("it sets a variable whose name is put together while it runs")
        elif _UNSAFE_NAME.search(name) and name not in _SAFE_NAMES:
            self.unsafe(f"it sets {name}, which can change what programs do")

    def word(self, node: Node) -> str:
        """The text of a word, with marks for what is not known; what it runs is noted."""
        kind = node.type
        source = (node.text or b"").decode("utf-8", "replace")
        if kind in ("word", "number", "extglob_pattern", "regex"):
            if re.search(r"(?<!\\)\s", source):
                self.unknown("where a word in it ends is not sure")
            return raw_text(source)
        if kind == "raw_string":
            return source[1:-1]
        if kind == "ansi_c_string":
            return ansi_c_text(source[2:-1])
        if kind == "string":
            return self._string(node)
        if kind == "concatenation":
            return self._joined(node)
        self._expansion(node)
        return SPLIT

    def _joined(self, node: Node) -> str:
        parts: list[str] = []
        braces = ""
        for child in node.children:
            if child.type in _WORDS:
                parts.append(self.word(child))
                braces += (child.text or b"").decode("utf-8", "replace") if child.type in ("word", "number") else ""
            elif child.type == "$":
                parts.append(HOLE)
            else:
                parts.append((child.text or b"").decode("utf-8", "replace"))
                braces += parts[-1]
        text = "".join(parts)
        return text + SPLIT if "{" in braces and ("," in braces or ".." in braces) else text

    def _string(self, node: Node) -> str:
        """Of a text in double quotes: between the expansions everything is itself but for escapes."""
        source = node.text or b""
        parts: list[str] = []
        at = node.start_byte + 1
        for child in node.named_children:
            if child.type == "string_content":
                continue
            parts.append(
                quoted_text(
                    source[at - node.start_byte : child.start_byte - node.start_byte].decode("utf-8", "replace")
                )
            )
            self._expansion(child)
            parts.append(SPLIT if b"@" in (child.text or b"") else HOLE)
            at = child.end_byte
        parts.append(quoted_text(source[at - node.start_byte : -1].decode("utf-8", "replace")))
        return "".join(parts)

    def _expansion(self, node: Node) -> None:
        """Note what an expansion runs."""
        kind, source = node.type, (node.text or b"").decode("utf-8", "replace")
        if kind in ("command_substitution", "process_substitution"):
            for child in node.named_children:
                self.visit(child)
        elif kind == "arithmetic_expansion":
            if not _PLAIN_SUM.fullmatch(source.removeprefix("$((").removeprefix("$[").rstrip(")]")):
                self.unknown("it computes with variables, whose text can hold commands")
            self._commands_below(node)
        elif kind == "brace_expression" or kind == "simple_expansion":
            pass
        elif kind == "expansion":
            if "@" in re.sub(r"^\$\{[#!]?\w*(\[@\])?|^\$\{@", "", source) or "[" in source.replace("[@]", ""):
                self.unknown("it holds an expansion that can run what is in a variable")
            if re.match(r"\$\{\w+:[^-=?+]", source):
                self.unknown("it computes with variables, whose text can hold commands")
            if re.match(r"\$\{\w+:?=", source):
                self.assign(re.sub(r"\W.*", "", source[2:], flags=re.DOTALL))
            self._commands_below(node)
            rest = source
            for child in all_below(node):
                if child.type in ("command_substitution", "process_substitution"):
                    rest = rest.replace((child.text or b"").decode("utf-8", "replace"), "")
            if "`" in rest or "(" in rest:
                self.unknown("it holds an expansion that cannot be read")
        else:
            self.unknown(f"it holds an expansion that is not known here ({kind})")
            self._commands_below(node)

    def _commands_below(self, node: Node) -> None:
        for child in node.named_children:
            if child.type in ("command_substitution", "process_substitution"):
                self._expansion(child)
            elif child.type in ("command", "subshell", "redirected_statement"):
                self.visit(child)
            else:
                self._commands_below(child)

    def file_redirect(self, node: Node) -> None:
        signs = [child.type for child in node.children if not child.is_named]
        sign = next((sign for sign in signs if "<" in sign or ">" in sign), "")
        targets = [child for child in node.named_children if child.type != "file_descriptor"]
        if any(target.type not in _WORDS for target in targets):
            self.unknown("a redirection in it cannot be read")
        for target in targets[:1]:
            self._redirect(sign, self.word(target))
        for target in targets[1:]:
            self.visit(target)

    def _redirect(self, sign: str, path: str) -> None:
        if sign in (">&", "<&") and re.fullmatch(r"[0-9]*-?", path):
            return
        if path.startswith(("/dev/tcp/", "/dev/udp/")):
            self.unknown("it opens a connection (/dev/tcp)")
        elif path not in _NO_FILES:
            self.line.files.append(("read" if sign in ("<", "<&") else "write", path))

    def heredoc_redirect(self, node: Node) -> None:
        start = next((child.text or b"" for child in node.children if child.type == "heredoc_start"), b"")
        quoted = any(sign in start for sign in (b"'", b'"', b"\\"))
        for child in node.named_children:
            if child.type == "heredoc_body":
                if not quoted:
                    self._heredoc_body(child)
            else:
                self.visit(child)  # a pipeline or redirection on the line of the mark

    def _heredoc_body(self, node: Node) -> None:
        text = re.sub(r"\\.", "", (node.text or b"").decode("utf-8", "replace"), flags=re.DOTALL)
        if "`" in text:
            self.unknown("it holds a ` in a here-document")
        elif "$" in text and text.count("$(") + text.count("${") > sum(
            1
            for child in all_below(node)
            if child.type in ("command_substitution", "expansion", "arithmetic_expansion")
        ):
            self.unknown("it holds an expansion in a here-document that cannot be read")
        for child in node.named_children:
            if child.type != "heredoc_content":
                self._expansion(child)

    def herestring_redirect(self, node: Node) -> None:
        for child in node.named_children:
            self.visit(child)

    def function(self, node: Node) -> None:
        for child in node.named_children[1:]:
            self.visit(child)

    def assignment(self, node: Node) -> None:
        name, *values = node.named_children
        if name.type != "variable_name":
            self.unknown("it sets an element of an array, whose index is computed")
            self._commands_below(name)
        self.assign((name.text or b"").decode("utf-8", "replace"))
        for value in values:
            if value.type == "array":
                for item in value.named_children:
                    self.visit(item)
            elif value.type in _WORDS:
                self.word(value)
            else:
                self.visit(value)

    def declaration(self, node: Node) -> None:
        for child in node.named_children:
            if child.type == "variable_assignment":
                self.assignment(child)
            elif child.type == "variable_name":
                self.assign((child.text or b"").decode("utf-8", "replace"))
            else:
                text = self.word(child) if child.type in _WORDS else HOLE
                if not re.fullmatch(r"-[axrgilptux]+|[A-Za-z_]\w*", text):
                    self.unknown("it declares a variable in a way that is not known here")
                elif "i" in text[:1] + text[1:] and text.startswith("-"):
                    self.unknown("it computes with variables, whose text can hold commands")
                elif not text.startswith("-"):
                    self.assign(text)

    def unset(self, node: Node) -> None:
        if b"[" in (node.text or b"") or b"$" in (node.text or b""):
            self.unknown("it unsets a variable whose name is put together while it runs")
        self._commands_below(node)

    def test(self, node: Node) -> None:
        source = (node.text or b"").decode("utf-8", "replace")
        if source.startswith("(("):
            if not _PLAIN_SUM.fullmatch(source):
                self.unknown("it computes with variables, whose text can hold commands")
            self._commands_below(node)
            return
        found = list(all_below(node))
        if any(
            (child.text or b"").decode("utf-8", "replace") in _ARITHMETIC_TESTS for child in found if not child.children
        ) or any(child.type == "subscript" for child in found):
            self.unknown("it computes in a test, where a text can hold commands")
        self._words_below(node)

    def _words_below(self, node: Node) -> None:
        for child in node.named_children:
            if child.type in _WORDS:
                self.word(child)
            else:
                self._words_below(child)

    def loop(self, node: Node) -> None:
        for child in node.named_children:
            if child.type == "variable_name":
                self.assign((child.text or b"").decode("utf-8", "replace"))
            else:
                self.visit(child)


_VISITS: dict[str, Any] = {
    "command": Taker.command,
    "file_redirect": Taker.file_redirect,
    "heredoc_redirect": Taker.heredoc_redirect,
    "herestring_redirect": Taker.herestring_redirect,
    "function_definition": Taker.function,
    "variable_assignment": Taker.assignment,
    "declaration_command": Taker.declaration,
    "unset_command": Taker.unset,
    "test_command": Taker.test,
    "for_statement": Taker.loop,
}
