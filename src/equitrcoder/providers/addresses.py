"""Base URLs: which one counts, and whether it can be used. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from equitrcoder.errors import ConfigError
from equitrcoder.providers.provider import Provider

OLLAMA_PORT = 11434
_LOOPBACK_NAMES = ("localhost", "::1", "0.0.0.0")  # noqa: S104 - recognised, never bound


def checked_base_url(url: str, where: str) -> str:
    """A base URL without spaces around it and without a slash at its end.

    Args:
        url: What the user wrote.
        where: The variable or setting it stands in, for the error.

    Raises:
        ConfigError: It is no http or https address, or holds credentials, a query or a fragment. The error does not
            show the address when it holds credentials.

    Example:
        >>> checked_base_url(" http://127.0.0.1:9000/v1/ ", "LOCAL_BASE_URL")
        'http://127.0.0.1:9000/v1'
    """
    text = url.strip()
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = urlsplit(""), None, None
    if parts.username is not None or parts.password is not None:
        raise ConfigError(f"{where} holds a user name or password.", hint="put the key in its own variable")
    if parts.scheme not in ("http", "https") or not host or port == 0 or not text.isprintable() or " " in text:
        raise ConfigError(f"{where} is no http or https address.", hint=f"{where}=https://host/v1")
    if parts.query or parts.fragment:
        raise ConfigError(f"{where} holds a query (?…) or fragment (#…).", hint="give the address up to the path only")
    return text.rstrip("/")


def is_loopback(url: str) -> bool:
    """Whether an address means this machine.

    Example:
        >>> is_loopback("http://127.0.0.1:8000/v1"), is_loopback("https://api.groq.com/openai/v1")
        (True, False)
    """
    host = (urlsplit(url).hostname or "").lower()
    if host in _LOOPBACK_NAMES or host.endswith(".localhost"):
        return True
    return host.startswith("127.") and host.replace(".", "").isdigit()


def own_base_url(row: Provider, environ: Mapping[str, str], setting: str | None) -> str | None:
    """The base URL that the user set for a row; None when he set none.

    Args:
        row: The provider.
        environ: The environment; of the row's variables the first that is set counts.
        setting: `ai_base_url` where it is meant for this row; it comes before the environment.

    Returns:
        The address; with the row's own path added when it had none and the row is one of those whose official client
        wants the host only. None also when it is the row's own public address.

    Raises:
        ConfigError: It cannot be used.
    """
    if setting:
        return _completed(row, checked_base_url(setting, "ai_base_url"))
    for variable in row.base_url_variables:
        value = environ.get(variable, "").strip()
        if value:
            read = ollama_host(value) if variable == "OLLAMA_HOST" else value
            return _completed(row, checked_base_url(read, variable))
    return row.base_url if row.own_base_url else None


def _completed(row: Provider, url: str) -> str | None:
    public = urlsplit(row.base_url or "")
    given = urlsplit(url)
    known = {"ollama-chat": ("/v1", "/api"), "cohere-v2": ("/v1", "/v2")}  # the path of a request brings its own
    if given.path in known.get(row.wire, ()):
        url = url.removesuffix(given.path)
        given = urlsplit(url)
    bare = not given.path
    if not row.own_base_url and given.netloc == public.netloc and (bare or given.path == public.path):
        return None
    return url + row.bare_path if bare else url


def ollama_host(value: str) -> str:
    """Read OLLAMA_HOST: scheme, port and path may be missing.

    Example:
        >>> ollama_host("0.0.0.0"), ollama_host("gpu-box:8000"), ollama_host("https://ollama.com")
        ('http://127.0.0.1:11434', 'http://gpu-box:8000', 'https://ollama.com')

    Source: https://docs.ollama.com/faq (OLLAMA_HOST)
    """
    text = value.strip().rstrip("/")
    if "://" in text:
        return text
    host, slash, path = text.partition("/")
    name, colon, port = host.rpartition(":")
    if not colon or host.endswith("]"):
        name, port = host, str(OLLAMA_PORT)
    if name in ("", "0.0.0.0"):  # noqa: S104 - where a server listens is no place to call
        name = "127.0.0.1"
    return f"http://{name}:{port}{slash}{path}"
