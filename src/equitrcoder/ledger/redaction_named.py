"""Secrets that are known by what stands beside them: key names, authorization headers, URLs, PEM private keys.

All functions look at one place of a text as bytes and cost at most the length of what they find.
"""

from __future__ import annotations

import re

NAMES = (
    *("password", "passwd", "passphrase", "pwd", "secret", "token", "credential", "credentials"),
    *("_key", "apikey", "api-key", "accesskey", "access-key", "secretkey", "privatekey", "authkey", "accountkey"),
    *("clientkey", "servicekey", "dbkey", "databasekey", "privkey", "_pass", "_pat", "_auth", "dbpass", "keypass"),
)
"""What a name ends with, in any case, whose value is secret."""
NAME_ENDINGS = ("=", ":", " =", " :", '"', "'", "\\", "]", "`")
"""What may follow such a name at once."""
_SEPARATOR = re.compile(
    rb"[\]\"'`\\]{0,4}(?P<separator>[ \t]{0,3}(?::=|=>|={1,3}|!={1,2}|:)[ \t]{0,3})@?(?P<open>\\{0,3}[\"'`])?"
)
_QUOTED = re.compile(rb"[^\s\"'`\\]{8,1024}(?=\\{0,3}[\"'`])")
_BARE = re.compile(rb"[^\s\"'`\\,;&<>(){}\[\]|]{8,1024}(?=[\s\"'`\\,;&)}\]|<]|\Z)")
_OPENS_NOTHING = (
    *(b"next", b"page", b"continuation", b"sync", b"csrf", b"xsrf", b"cancel", b"pagination", b"sort", b"public"),
    *(b"primary", b"foreign", b"cache", b"partition", b"hash", b"idempotency", b"object", b"routing", b"row", b"index"),
)
"""Words before `token` or `key` that make it one that opens nothing."""

_PLACEHOLDER = re.compile(
    rb"\A[$%/~.\[]|\$[({]|\{\{|%\(|[<>]|://|\.\.\.|\*\*\*|\Aredacted|x{4,}|example|placeholder|change.?me|your[_-]",
    re.IGNORECASE,
)
_WORDS = re.compile(rb"[A-Za-z]+(?:[_.:/-][A-Za-z]+)*[0-9]{0,3}")
_PARTS = re.compile(rb"[A-Za-z_][\w.:/-]*")
_DOT = re.compile(rb"[_.:/-]")
_ONE_WORD = re.compile(rb"[A-Za-z]+[0-9]{1,6}")
_WHITE = re.compile(rb"\s")
_LETTER = re.compile(rb"[A-Za-z]")
_DIGIT = re.compile(rb"[0-9]")
_SPECIAL = re.compile(rb"[!@#^&*+=?%]")
_FEWEST_DIFFERENT = 5
_STRONG_LENGTH = 12
_STRONG_DIGITS = 2

_AUTHORIZATION = re.compile(
    rb"authorization[\"'\\]{0,4}[ \t]{0,3}[:=,][ \t]{0,3}[\"'\\]{0,4}"
    rb"(?:(?:bearer|basic|token|bot|apikey|digest)[ \t]{1,3})?"
    rb"(?P<value>[A-Za-z0-9_.~+/=:-]{8,4096})",
    re.IGNORECASE,
)
_BEARER = re.compile(rb"bearer[ \t]{1,3}(?P<value>[A-Za-z0-9_.~+/=:-]{16,4096})", re.IGNORECASE)

_URL = re.compile(rb"://[^\s/:?#@\"'<>\\]{0,100}:(?P<value>[^\s/@\"'<>\\]{3,256})@")
_URL_PLACEHOLDERS = frozenset(
    b"pass password passwd pwd pw secret user username token key credentials xxx xxxx xxxxx password1".split()
)

_PEM_OPENS = re.compile(rb"-----BEGIN (?:[A-Z0-9]{1,16} ){0,4}PRIVATE KEY(?: BLOCK)?-----")
_PEM_CLOSES = re.compile(rb"-----END [A-Z0-9 ]{0,64}-----")
_PEM_LONGEST = 32_768
_PEM_LINE = re.compile(rb"[\s\\nr\"',+]{0,12}[A-Za-z0-9+/=]{16,128}")
_PEM_LETTERS = re.compile(rb"[A-Za-z0-9+/]{16}")


def named(raw: bytes, start: int, end: int) -> tuple[int, int] | None:
    """The value of a key whose name says that it is secret; the name stands from `start` to `end`."""
    found = _SEPARATOR.match(raw, end)
    if found is None or _opens_nothing(raw[max(0, start - 16) : start]):
        return None
    quoted = found["open"] is not None
    value = (_QUOTED if quoted else _BARE).match(raw, found.end())
    if value is None or not _is_secret(value[0], quoted=quoted, tight=found["separator"] in (b"=", b":=")):
        return None
    return value.span()


def _opens_nothing(before: bytes) -> bool:
    return before.lower().rstrip(b"_-").endswith(_OPENS_NOTHING)


def is_named_secret(key: str, value: str) -> bool:
    """Whether an object's field is a secret by its name.

    Example:
        >>> is_named_secret("db_password", "hunter2hunter"), is_named_secret("next_token", "hunter2hunter")
        (True, False)
    """
    if not 8 <= len(value) <= 1024:
        return False
    lower = key.lower()
    name = next((name for name in NAMES if lower.endswith(name)), None)
    if name is None or _opens_nothing(lower[: -len(name)].encode("utf-8", "surrogatepass")):
        return False
    raw = value.encode("utf-8", "surrogatepass")
    return _WHITE.search(raw) is None and _is_secret(raw, quoted=True, tight=True)


def _is_secret(value: bytes, *, quoted: bool, tight: bool) -> bool:
    """Whether a value can be a secret rather than a word, a variable, a path or a placeholder."""
    if _PLACEHOLDER.search(value) or len(set(value)) < _FEWEST_DIFFERENT or not _LETTER.search(value):
        return False
    digits = len(_DIGIT.findall(value))
    if not digits:
        return quoted and len(_SPECIAL.findall(value)) > 0 and _SPECIAL.search(value[1:-1]) is not None
    if _WORDS.fullmatch(value):
        return tight and digits > 0 and _ONE_WORD.fullmatch(value) is not None and quoted
    if quoted:
        return True
    if _is_dotted(value) and len(value) < 2 * _STRONG_LENGTH:
        return False
    if tight:
        return True
    return len(value) >= _STRONG_LENGTH and digits >= _STRONG_DIGITS and b"_" not in value and b"." not in value


def _is_dotted(value: bytes) -> bool:
    """Whether it reads like a name of several parts: self.token_2, module:name."""
    return _PARTS.fullmatch(value) is not None and _DOT.search(value) is not None


def authorization(raw: bytes, start: int) -> tuple[int, int] | None:
    """The credentials of an Authorization header that begins at `start`."""
    return _header(_AUTHORIZATION.match(raw, start))


def bearer(raw: bytes, start: int) -> tuple[int, int] | None:
    """The token after `Bearer` at `start`."""
    return _header(_BEARER.match(raw, start))


def _header(found: re.Match[bytes] | None) -> tuple[int, int] | None:
    if found is None:
        return None
    value = found["value"]
    if _PLACEHOLDER.search(value) or not _DIGIT.search(value) or (_is_dotted(value) and len(value) < 20):
        return None
    return None if len(set(value)) < _FEWEST_DIFFERENT or _WORDS.fullmatch(value) else found.span("value")


def url_password(raw: bytes, start: int) -> tuple[int, int] | None:
    """The password in scheme://user:password@host; `start` is at the colon."""
    found = _URL.match(raw, start)
    if found is None:
        return None
    value = found["value"]
    if value.lower() in _URL_PLACEHOLDERS or _PLACEHOLDER.search(value) or b"*" in value or b"{" in value:
        return None
    return found.span("value")


def private_key(raw: bytes, start: int) -> tuple[int, int] | None:
    """A PEM block from its first line to its last, or as far as it goes; `start` is at the first dash."""
    opens = _PEM_OPENS.match(raw, start)
    if opens is None:
        return None
    stop = raw.find(b"-----END", opens.end(), opens.end() + _PEM_LONGEST)
    closes = _PEM_CLOSES.match(raw, stop) if stop >= 0 else None
    if closes is None:
        stop = opens.end()
        while (line := _PEM_LINE.match(raw, stop)) is not None:
            stop = line.end()
    if _PEM_LETTERS.search(raw, opens.end(), stop) is None:
        return None
    return start, stop if closes is None else closes.end()
