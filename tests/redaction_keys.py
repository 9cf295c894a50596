"""Keys as their providers make them, generated from the table of formats."""

from __future__ import annotations

import re
from random import Random

from equitrcoder.ledger.redaction_formats import Format, Piece, formats

FORMATS = formats()


def characters(piece: Piece) -> str:
    """What can stand for a piece, worked out here once more, without the code that is tested."""
    if not piece.is_class:
        return piece.characters
    return "".join(chr(code) for code in range(33, 127) if re.fullmatch(piece.characters, chr(code)))


def make_key(format_: Format, random: Random) -> str:
    """A key of a format, its length anything that the format allows."""
    made = ""
    for piece in format_.pieces:
        length = random.randint(piece.at_least, min(piece.at_most, piece.at_least + 40))
        made += "".join(random.choices(characters(piece), k=length))
    # A key that ends with a dash or dot cannot be told from one that the sentence goes on after.
    return made if made[-1].isalnum() or made[-1] in "=_X" else made[:-1] + "a"
