"""What can go wrong around a provider's answer, as typed errors. Loaded only when something has gone wrong."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from equitrcoder.errors import (
    AuthenticationError,
    BadResponseError,
    ProviderError,
    ProviderOverloadedError,
    ProviderTimeoutError,
    ProviderUnreachableError,
    RateLimitError,
    RequestRefusedError,
    StreamBrokenError,
)
from equitrcoder.providers.addresses import is_loopback
from equitrcoder.providers.request_ids import request_id

if TYPE_CHECKING:
    import httpx2

    from equitrcoder.providers.choice import ModelChoice
    from equitrcoder.wires.values import Turn

_SHORTEST_SECRET = 6


def transport_error(
    error: httpx2.HTTPError,
    choice: ModelChoice,
    *,
    partial: Turn | None,
    status: int | None = None,
    idle_timeout_s: float,
) -> ProviderError:
    """The typed error for a connection that could not be made or broke.

    Args:
        error: What the HTTP client raised.
        choice: Who was asked.
        partial: What had been read of a stream; None when it had not begun, or was none.
        status: Of the answer; None when its head had not come.
        idle_timeout_s: For the words of a timeout.
    """
    import httpx2  # loaded by now

    name = choice.provider.name
    if isinstance(error, httpx2.ConnectTimeout | httpx2.ConnectError):
        return _no_connection(error, choice)
    if isinstance(error, httpx2.ProxyError):
        return ProviderUnreachableError(f"The proxy lets nothing through to {name}: {error}.", hint="see HTTPS_PROXY")
    if isinstance(error, httpx2.TimeoutException):
        return ProviderTimeoutError(f"{name} was silent for {idle_timeout_s:g} s.", partial=partial, status=status)
    if isinstance(error, httpx2.DecodingError):
        return BadResponseError(f"{name} sent an answer that cannot be unpacked.", partial=partial, status=status)
    if status is not None:
        words = f"The connection to {name} broke in the middle of an answer."
        return StreamBrokenError(words, partial=partial, status=status)
    if isinstance(error, httpx2.RemoteProtocolError) and _NO_ANSWER not in str(error):
        return BadResponseError(
            f"{name} does not speak HTTP at {_origin_of(choice.base_url)}: {excerpt_of(str(error).encode())}.",
            hint="check the base URL",
        )
    return ProviderUnreachableError(f"{name} closed the connection without an answer.")


_NO_ANSWER = "without sending a response"  # the HTTP client's words for an orderly end before the first byte


def _no_connection(error: httpx2.HTTPError, choice: ModelChoice) -> ProviderUnreachableError:
    name, where = choice.provider.name, _origin_of(choice.base_url)
    reason, lasting = _reason(error)
    return ProviderUnreachableError(
        f"{name} does not answer at {where} ({reason}).",
        hint=_remedy(choice),
        retryable=not (lasting or is_loopback(choice.base_url)),
    )


def _reason(error: BaseException) -> tuple[str, bool]:
    """Why no connection came about, and whether that will last."""
    for cause in _causes(error):
        if isinstance(cause, ConnectionRefusedError):
            return "connection refused", False
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {cause.verify_message}", True
        if isinstance(cause, socket.gaierror):
            return "no such host", cause.errno == socket.EAI_NONAME
        if isinstance(cause, TimeoutError):
            return "no connection in time", False
    return str(error) or "no connection", False


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, what caused it, what caused that; of a group, its members."""
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for member in error.exceptions:
                yield from _causes(member)
        error = error.__cause__ or error.__context__


def _remedy(choice: ModelChoice) -> str:
    row = choice.provider
    variable = row.base_url_variables[-1] if row.base_url_variables else "base_url in the settings"
    if row.name == "ollama":
        return f"ollama serve, or set {variable}"
    if is_loopback(choice.base_url):
        return f"start the server there, or set {variable}"
    return "check the network, and HTTPS_PROXY if there is a proxy"


def _origin_of(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:  # a provider may write anything into a Location
        return "no address"
    return excerpt_of(f"{parts.scheme}://{parts.netloc}".encode())


def too_long(choice: ModelChoice, deadline_s: float, partial: Turn | None, status: int | None) -> ProviderTimeoutError:
    """The error for an attempt that used up all its time."""
    return ProviderTimeoutError(
        f"{choice.provider.name} was not done after {deadline_s:g} s.",
        hint="a larger request_timeout_s",
        retryable=False,
        partial=partial,
        status=status,
    )


def redirected(choice: ModelChoice, status: int, location: str) -> RequestRefusedError:
    """The error for a redirect: it is not followed, so that the key goes nowhere else."""
    where = _origin_of(location) if "://" in location else "another path" if location else "nowhere"
    return RequestRefusedError(
        f"{choice.provider.name} answered {status} and points to {where}; redirects are not followed.",
        hint="set the base URL to the right address",
        status=status,
    )


def no_answer(choice: ModelChoice, what: str, body: bytes, status: int) -> BadResponseError:
    """The error for a body that is no answer of a model, such as a web page."""
    return BadResponseError(
        f"{choice.provider.name} sent {what} in place of an answer.",
        hint=f"check that {choice.base_url} is the base URL of a model provider",
        status=status,
        excerpt=excerpt_of(body),
    )


def nothing_came(choice: ModelChoice, status: int) -> BadResponseError:
    """The error for a body without a byte, or of white space only; it may be a connection that broke early."""
    return BadResponseError(
        f"{choice.provider.name} answered {status} with an empty body.",
        hint="check the base URL",
        status=status,
        retryable=status == HTTPStatus.OK,
    )


def too_large(choice: ModelChoice, limit_bytes: int) -> BadResponseError:
    """The error for an answer without end."""
    return BadResponseError(f"{choice.provider.name} sent more than {limit_bytes >> 20} MiB in one answer.")


def excerpt_of(body: bytes, limit: int = 200) -> str:
    """The start of a body as one printable line.

    Example:
        >>> excerpt_of(b"<html>\\n  <b>502</b>")
        '<html> <b>502</b>'
    """
    text = " ".join(body[: limit * 4].decode("utf-8", "replace").split())
    return "".join(char for char in text if char.isprintable())[:limit]


def complete(error: ProviderError, choice: ModelChoice, headers: Mapping[str, str]) -> None:
    """Fill in who was asked and what to do, and take the key out of every word of it."""
    row = choice.provider
    error.provider = error.provider or row.name
    error.model = error.model or choice.model
    if error.message.startswith("The provider "):
        error.message = row.name + error.message.removeprefix("The provider")
    if error.status == 404 and "model" in f"{error.message} {error.excerpt}".lower():
        error.code = "E102"
        error.hint = _other_models(choice)
    if isinstance(error, AuthenticationError) and error.status != 403 and choice.key_variable:
        error.hint = f"check {choice.key_variable}"
    error.hint = error.hint or _REMEDIES.get(type(error), "")
    error.message = _with_facts(error, request_id(headers))
    for words in ("message", "hint", "excerpt"):
        setattr(error, words, without_key(getattr(error, words), choice.key))
    error.args = (error.message,)


_REMEDIES: Mapping[type[ProviderError], str] = {
    RateLimitError: "wait a while, or go on with another model: --fallback-model",
    ProviderOverloadedError: "try again later, or go on with another model: --fallback-model",
    ProviderTimeoutError: "try again; a larger idle_timeout_s if the model thinks for long",
    ProviderUnreachableError: "check the network, then try again",
    StreamBrokenError: "try again",
    BadResponseError: "try again; if it stays so, check the base URL and the model",
    RequestRefusedError: "the provider's words say what it does not take; try another model",
}
"""What to do where nothing more exact is known."""


def _with_facts(error: ProviderError, identity: str | None) -> str:
    """The sentence with the model, the status and the provider's id of the request, for a support request."""
    facts = [f"{error.provider}/{error.model}"]
    if error.status is not None and not re.search(rf"\b{error.status}\b", error.message):
        facts.append(f"status {error.status}")
    if identity and identity not in error.message:
        facts.append(f"request id {identity}")
    told = f" ({', '.join(facts)})"
    return error.message if error.message.endswith(told) else error.message.rstrip() + told


def _other_models(choice: ModelChoice) -> str:
    from equitrcoder.providers.unknown import closest

    row = choice.provider
    today = row.aliases.get(choice.model)  # a retired name that went out as written, to an address of the user's own
    others = [name for name in row.models if name not in (choice.model, today)]
    found = [*([today] if today else []), *closest(choice.model, others, cutoff=0.3)]
    near = ", ".join(f"{row.name}/{name}" for name in found[:3])
    return (f"closest: {near}; " if near else "") + f"all: equitrcoder models {row.name}"


def without_key(text: str, key: str | None) -> str:
    """A text with the key replaced, wherever a provider repeats it.

    Example:
        >>> without_key("Incorrect API key provided: sk-12345", "sk-12345")
        'Incorrect API key provided: [key]'
    """
    return text.replace(key, "[key]") if key and len(key) >= _SHORTEST_SECRET else text
