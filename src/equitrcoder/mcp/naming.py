"""What a server's tools are called towards the model. Pure."""

from __future__ import annotations

import re
from collections.abc import Container
from hashlib import sha256

MOST_CHARACTERS = 64
"""What the strictest hosts take, of letters, digits, _ and -."""
_OTHER = re.compile(r"[^A-Za-z0-9_-]")


def offered_name(server: str, tool: str, taken: Container[str]) -> str:
    """The server's name, `_`, and the tool's.

    What a host would refuse becomes `_`. Where that, or the length, or a name that is taken already, makes it another
    name, eight figures of a hash of both names end it: two tools never share one.

    Example:
        >>> offered_name("f", "list_directory", ()), offered_name("read", "file", {"read_file"})
        ('f_list_directory', 'read_file_d66a2831')
    """
    whole = f"{server}_{tool}"
    name = _OTHER.sub("_", whole)
    if name == whole and len(name) <= MOST_CHARACTERS and name not in taken:
        return name
    mark = sha256(f"{server}\0{tool}".encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{name[: MOST_CHARACTERS - 9]}_{mark}"
