"""Redaction: secrets are taken out before the first byte is written, on decoded values.

Known values are those of the environment and of the settings, in all the forms of redaction_forms.py; the documented
key formats stand in redaction_rules.tsv; key names, authorization headers, PEM blocks and URL passwords are found by
redaction_named.py. What goes to the model and to the tools is never altered.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import orjson

from equitrcoder import jsontext
from equitrcoder.ledger.encoding import encode, plain
from equitrcoder.ledger.redaction_finder import KNOWN_VALUE, NAMED, Finder, Span
from equitrcoder.ledger.redaction_named import is_named_secret
from equitrcoder.records import JSON

_MIN_CHARACTERS = 8

_SECRET_WORDS = (
    "KEY",
    "KEYS",
    "TOKEN",
    "TOKENS",
    "SECRET",
    "SECRETS",
    "PASS",
    "PASSWD",
    "PASSWORD",
    "PASSPHRASE",
    "CREDENTIAL",
    "CREDENTIALS",
    "AUTH",
    "PAT",
    "PWD",
)
_SECRET_NAME = re.compile(r"(?:^|[_.\-A-Z0-9])(?:" + "|".join(_SECRET_WORDS) + r")(?:$|[_.\-0-9])")
_ADDRESS_NAME = re.compile(r"(?:URL|URI|ENDPOINT|HOST)$")
_PLAIN_WORD = re.compile(r"[A-Za-z]?(?:[a-z]{0,19}|[A-Z]{0,19})")
_NUMBER = re.compile(r"[\d\s.,:+\-/eE%]+")
_PATH = re.compile(r"(?:~?/|\.\.?/|[A-Za-z]:[\\/]|file:)")
_BASE64 = re.compile(r"(?=.*\d)(?=.*[a-z])(?=.*[A-Z])[A-Za-z0-9+/=]{32,}")

_OPAQUE_KEYS = frozenset(
    {
        *("signature", "thoughtSignature", "thought_signature", "encrypted_content", "encrypted_index"),
        *("id", "call_id", "item_id", "response_id", "tool_call_id", "tool_use_id"),
    }
)
_OPAQUE_DATA_TYPES = frozenset({"redacted_thinking"})
_ARGUMENT_KEYS = frozenset({"args", "arguments", "input", "parameters", "partialArgs"})
"""In a provider's message: what is below them comes from the model, whatever its keys are called."""


def secret_values(environ: Mapping[str, str], extra: Iterable[str] = ()) -> list[str]:
    """The secret values of an environment: of variables whose names say so, and those given besides.

    A value counts when it has at least 8 characters and is no path, number or plain word. A comma-separated list counts
    piece by piece. `extra` (keys from the settings) is held to the same.

    Example:
        >>> secret_values({"GROQ_API_KEY": "gsk_1234567890", "HOME": "/home/ada", "AUTH_MODE": "disabled"})
        ['gsk_1234567890']
    """
    return list(named_secrets(environ, extra))


def named_secrets(environ: Mapping[str, str], extra: Iterable[str] = ()) -> dict[str, str]:
    """Like `secret_values`, each with the name of its variable: value -> name. `Redactor` takes it as it is.

    Example:
        >>> named_secrets({"GROQ_API_KEY": "gsk_1234567890"})
        {'gsk_1234567890': 'GROQ_API_KEY'}
    """
    found: dict[str, str] = {}
    for name, value in environ.items():
        if _SECRET_NAME.search(name.upper()) and not _is_bare_address(name, value):
            for piece in (value, *value.split(",")):
                if _may_be_secret(piece.strip()):
                    found.setdefault(piece.strip(), name)
    for value in extra:
        if _may_be_secret(value.strip()):
            found.setdefault(value.strip(), KNOWN_VALUE)
    return found


def _is_bare_address(name: str, value: str) -> bool:
    """AUTH_URL=https://login.example.com is no secret; one with a password or a query may be."""
    return _ADDRESS_NAME.search(name.upper()) is not None and "@" not in value and "?" not in value


def _may_be_secret(value: str) -> bool:
    if len(value) < _MIN_CHARACTERS or _NUMBER.fullmatch(value) or _PLAIN_WORD.fullmatch(value):
        return False
    return _PATH.match(value) is None or _BASE64.fullmatch(value) is not None


class Piece(NamedTuple):
    """A value as it goes into a journal."""

    encoded: bytes
    """JSON, redacted."""
    value: Any
    """The redacted value; the given one when nothing was found."""
    redactions: dict[str, int]
    plain: bool
    """Whether orjson reads the JSON back as it was; not so for very long numbers and lone surrogates."""


class Redactor:
    """Takes secrets out of texts and values. Thread-safe.

    Args:
        values: The known secrets, or a mapping from each secret to the name that stands in its place. Key formats and
            secrets known by what stands beside them are taken out in any case.

    Example:
        >>> Redactor(["gsk_1234567890"]).text("key=gsk_1234567890")
        ('key=[redacted:known_value]', {'known_value': 1})
        >>> Redactor({"gsk_1234567890": "GROQ_API_KEY"}).json({"gsk_1234567890": [1]})
        ({'[redacted:GROQ_API_KEY]': [1]}, {'known_value': 1})
        >>> Redactor().text("postgres://ada:s3cr3t-one@db/x")
        ('postgres://ada:[redacted:url-password]@db/x', {'url-password': 1})
    """

    def __init__(self, values: Iterable[str] | Mapping[str, str] = ()) -> None:
        named = values if isinstance(values, Mapping) else dict.fromkeys(values, KNOWN_VALUE)
        self.finder = Finder({value: name for value, name in named.items() if value})

    def text(self, text: str) -> tuple[str, dict[str, int]]:
        """Redact one text. Returns it (the same object when nothing was found) and how often each rule applied."""
        raw = text.encode("utf-8", "surrogatepass")
        spans = self.finder.spans(raw)
        if not spans:
            return text, {}
        counts: dict[str, int] = {}
        for span in spans:
            counts[span.rule] = counts.get(span.rule, 0) + 1
        return replaced(raw, spans).decode("utf-8", "surrogatepass"), counts

    def clean(self, error: Exception) -> None:
        """Take secrets out of the words of an error, which somebody will show."""
        for name in ("message", "hint", "excerpt"):
            words = getattr(error, name, None)
            if isinstance(words, str):
                setattr(error, name, self.text(words)[0])
        error.args = tuple(self.text(word)[0] if isinstance(word, str) else word for word in error.args)

    def json(self, value: JSON, *, native: bool = False) -> tuple[Any, dict[str, int]]:
        """Redact a value: its texts and the keys of its objects.

        Args:
            value: Any JSON value; the given one is not changed.
            native: It is a provider's message: signatures and encrypted content stay as they are.

        Returns:
            The value (the same object when nothing was found) and how often each rule applied.
        """
        piece = self.piece(value, native=native)
        return piece.value, piece.redactions

    def piece(self, value: JSON, *, native: bool = False) -> Piece:
        """A value as redacted JSON, for the recorder. `native` as in `json`."""
        raw, plain = _encoded(value)
        if not self.suspects(raw):
            return Piece(raw, value, {}, plain)
        counts: dict[str, int] = {}
        redacted = self._walk(_walkable(raw), counts, native=native)
        if not counts:
            return Piece(raw, value, {}, plain)
        raw, still_plain = _encoded(redacted)
        return Piece(raw, redacted, counts, plain and still_plain)

    def fields(self, fields: dict[str, Any]) -> bytes:
        """The short fields of a journal entry as redacted JSON; what is redacted adds to its `redactions`."""
        raw, plain = _encoded(fields)
        if not plain:
            raw = encode({**fields, "exact": True})
        if not self.suspects(raw):
            return raw
        counts: dict[str, int] = dict(fields.get("redactions") or {})
        before = dict(counts)
        # The names of the fields are ours and stay.
        kept = {name: self._walk(value, counts, native=False) for name, value in _walkable(raw).items()}
        return raw if counts == before else encode({**kept, "redactions": counts})

    def suspects(self, raw: bytes) -> bool:
        """Whether JSON text may hold a secret; then the decoded value is looked at.

        No key format has a character that JSON escapes, and escapes before a key count as a boundary; known values are
        looked for in their escaped form too. So nothing is missed here.
        """
        return self.finder.suspects(raw)

    def _walk(self, value: Any, counts: dict[str, int], *, native: bool) -> Any:
        if isinstance(value, str):
            return self._counted(value, counts)
        if isinstance(value, list):
            return [self._walk(item, counts, native=native) for item in value]
        return self._walk_object(value, counts, native=native) if isinstance(value, dict) else value

    def _walk_object(self, value: dict[str, Any], counts: dict[str, int], *, native: bool) -> dict[str, Any]:
        redacted: dict[str, Any] = {}
        for key, item in value.items():
            name = self._counted(key, counts)
            while name in redacted:  # two secret keys of one object: both values stay
                name += "'"
            if native and _is_opaque(key, value):
                redacted[name] = item
            elif isinstance(item, str) and is_named_secret(key, item):
                redacted[name] = self._named(item, counts)
            else:
                redacted[name] = self._walk(item, counts, native=native and key not in _ARGUMENT_KEYS)
        return redacted

    def _named(self, text: str, counts: dict[str, int]) -> str:
        """The value of a key that says it is secret; what else is known of it says more."""
        found = self._counted(text, counts)
        if found is not text:
            return found
        counts[NAMED] = counts.get(NAMED, 0) + 1
        return f"[redacted:{NAMED}]"

    def _counted(self, text: str, counts: dict[str, int]) -> str:
        text, found = self.text(text)
        for rule, count in found.items():
            counts[rule] = counts.get(rule, 0) + count
        return text


def replaced(raw: bytes, spans: Iterable[Span]) -> bytes:
    """A text with marks in place of its secrets; `spans` in order, none within another."""
    pieces: list[bytes] = []
    position = 0
    for span in spans:
        pieces += raw[position : span.start], span.mark.encode()
        position = span.stop
    return b"".join([*pieces, raw[position:]])


def _encoded(value: Any) -> tuple[bytes, bool]:
    try:
        return orjson.dumps(value), True
    except TypeError:
        return encode(value), False


def _walkable(raw: bytes) -> Any:
    """The value that JSON text of ours stands for, never too deep to walk through."""
    return plain(jsontext.loads(raw))


def _is_opaque(key: str, parent: dict[str, Any]) -> bool:
    """Whether a field of a provider's message only has a meaning for the provider, unchanged."""
    return key in _OPAQUE_KEYS or (key == "data" and parent.get("type") in _OPAQUE_DATA_TYPES)
