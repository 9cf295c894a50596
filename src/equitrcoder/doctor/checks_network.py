"""What has to do with providers: the model that a run would ask, keys, the way to each provider, and the clock."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from equitrcoder.doctor.finding import Finding, Level
from equitrcoder.errors import EquitrError, MissingKeyError
from equitrcoder.providers.addresses import is_loopback
from equitrcoder.providers.choice import ModelChoice, choose_model
from equitrcoder.providers.registry import PROVIDERS
from equitrcoder.providers.status import ProviderStatus, provider_rows

if TYPE_CHECKING:
    from equitrcoder.doctor import Check
    from equitrcoder.settings import Settings

ANSWER_TIMEOUT_S = 6.0
SKEW_S = 60.0
"""A clock that is off by more than this makes times in the ledger wrong, and certificates doubtful."""

_PATHS = {
    "ollama-chat": "/api/tags",
    "cohere-v2": "/v1/models",
    "anthropic-messages": "/v1/models",
    "replicate-predictions": "/account",
}
"""By wire: what can be asked for at no cost, with the key. Elsewhere `/models`."""

_STARTS = {
    "openai": "sk-",
    "anthropic": "sk-ant-",
    "groq": "gsk_",
    "huggingface": "hf_",
    "perplexity": "pplx-",
    "replicate": "r8_",
}
"""How keys of a provider start."""

_SHORTEST_KEY = 12
_PLACEHOLDERS = ("your", "xxx", "...", "…", "<", "key-here", "changeme", "replace")


def checks(settings: Settings, environ: Mapping[str, str], *, offline: bool) -> dict[str, Check]:
    """The checks by name: the model, then a provider each."""
    rows = _rows(settings, environ)
    found, chosen = _model(settings, environ, offline=offline)

    async def model() -> list[Finding]:
        return found

    several: dict[str, Check] = {"model": model}
    for row in rows:
        named = chosen is not None and chosen.provider.name == row.name
        if row.key_set or named or row.name not in PROVIDERS or _own_address(row):
            several[row.name] = _check_of(row, settings, environ, chosen=chosen if named else None, offline=offline)
    return several


def _rows(settings: Settings, environ: Mapping[str, str]) -> list[ProviderStatus]:
    with contextlib.suppress(EquitrError):  # what is wrong with a row is told as what is wrong with the model
        return provider_rows(settings, environ)
    return []


def _own_address(row: ProviderStatus) -> bool:
    """Whether the user said where it is."""
    return row.base_url is not None and row.base_url != PROVIDERS[row.name].base_url


def _model(
    settings: Settings, environ: Mapping[str, str], *, offline: bool
) -> tuple[list[Finding], ModelChoice | None]:
    """What a run without --model would ask."""
    try:
        choice = choose_model(settings, environ, probe=(lambda row, url: None) if offline else None)
    except MissingKeyError as error:
        words = error.message.splitlines()[0].partition(". Any one")[0]
        fix = error.hint or "export ANTHROPIC_API_KEY=… or another (equitrcoder providers); or: ollama serve"
        return [Finding("model", "problem", words, fix)], None
    except EquitrError as error:
        return [Finding("model", "problem", error.message, error.hint)], None
    asked = f"a run asks {choice.provider.name}/{choice.model}"
    if not choice.provider.takes_tools:
        fix = "another model: equitrcoder models --tools"
        return [Finding("model", "warning", f"{asked}, which takes no tools and can only answer", fix)], choice
    return [Finding("model", "ok", asked)], choice


def _check_of(
    row: ProviderStatus, settings: Settings, environ: Mapping[str, str], *, chosen: ModelChoice | None, offline: bool
) -> Check:
    async def check() -> list[Finding]:
        try:
            choice = chosen or choose_model(settings, environ, f"{row.name}/any")
        except EquitrError as error:
            return [Finding(row.name, "warning", error.message, error.hint)]
        doubt = key_doubt(choice)
        found = [Finding(row.name, "warning", doubt, f"check {choice.key_variable}")] if doubt else []
        if offline:
            key = f"{choice.key_variable} is set" if choice.key_variable else "no key is needed"
            return found or [Finding(row.name, "ok", f"{key}; not asked")]
        return [*found, await _ask(choice, blocks=chosen is not None)]

    return check


def key_doubt(choice: ModelChoice) -> str:
    """Why a key looks like none, without showing it; empty when it looks like one, or when there is none.

    Keys for an address of the user's own may look like anything.
    """
    key, start = choice.key or "", _STARTS.get(choice.provider.name, "")
    if not key or choice.base_url != choice.provider.base_url:
        return ""
    if key[0] in "\"'" or key[-1] in "\"'":
        return f"{choice.key_variable} holds quotation marks"
    if any(word in key.lower() for word in _PLACEHOLDERS) or len(key) < _SHORTEST_KEY:
        return f"{choice.key_variable} looks like a placeholder"
    if start and not key.startswith(start):
        return f"{choice.key_variable} does not start with {start}, as keys of {choice.provider.name} do"
    return ""


async def _ask(choice: ModelChoice, *, blocks: bool) -> Finding:
    """Ask for a list that costs nothing: the way there, TLS, proxy and key in one request."""
    import httpx2

    from equitrcoder.providers.client import request_headers
    from equitrcoder.providers.failures import transport_error, without_key
    from equitrcoder.providers.transport import open_http

    name = choice.provider.name
    url = choice.base_url + _PATHS.get(choice.provider.wire, "/models")
    if url.count("/v1/v1/"):
        url = url.replace("/v1/v1/", "/v1/")
    http = await asyncio.to_thread(open_http, choice.base_url)  # reading certificates takes a while
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S), http:
            request = http.build_request("GET", url, headers=request_headers(choice), timeout=ANSWER_TIMEOUT_S)
            started = time.perf_counter()
            response = await http.send(request, stream=True, follow_redirects=False)
            took_ms = (time.perf_counter() - started) * 1000
            await response.aclose()
    except (httpx2.HTTPError, TimeoutError) as error:
        level: Level = "problem" if blocks else "warning"
        if isinstance(error, TimeoutError):
            words, fix = f"does not answer within {ANSWER_TIMEOUT_S:g} s", "check the network, and HTTPS_PROXY"
        else:
            trouble = transport_error(error, choice, partial=None, idle_timeout_s=ANSWER_TIMEOUT_S)
            words, fix = trouble.message, trouble.hint
        return Finding(name, level, without_key(words, choice.key), fix)
    skew = None if is_loopback(choice.base_url) else _skew_s(response.headers.get("date", ""))
    return _verdict(choice, response.status_code, took_ms, blocks=blocks)._replace(skew_s=skew)


def _verdict(choice: ModelChoice, status: int, took_ms: float, *, blocks: bool) -> Finding:
    name, key = choice.provider.name, choice.key_variable
    if status in (401, 403):
        fix = f"check {key}" if key else f"it wants a key: export {(choice.provider.keys or ('…',))[0]}=…"
        words = f"{key} is refused ({status})" if key else f"refuses requests without a key ({status})"
        return Finding(name, "problem" if blocks else "warning", words, fix)
    if status == 200:
        accepted = f"{key} is accepted" if key else "answers, no key needed"
        return Finding(name, "ok", f"{accepted} ({took_ms:.0f} ms)")
    if status >= 500 or status == 429:
        return Finding(name, "warning", f"answers {status}: reachable, but not well now", "try again later")
    words = f"reachable ({took_ms:.0f} ms); it has no list of models ({status}), so the key was not tried"
    if 300 <= status < 400:
        fix = "set the base URL to the right address"
        return Finding(name, "warning", f"redirects ({status}): redirects are not followed", fix)
    return Finding(name, "ok", words)


def _skew_s(date: str) -> float | None:
    from email.utils import parsedate_to_datetime

    try:
        return time.time() - parsedate_to_datetime(date[:100]).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def with_clock(findings: list[Finding]) -> list[Finding]:
    """The findings, with one on the clock where a server told its time."""
    skews = sorted((finding.skew_s for finding in findings if finding.skew_s is not None), key=abs)
    if not skews:
        return findings
    skew = skews[0]  # the server that agrees most: one with a wrong clock must not make ours wrong
    if abs(skew) <= SKEW_S:
        return [*findings, Finding("clock", "ok", f"within {max(abs(skew), 1):.0f} s of the providers'")]
    way = "ahead of" if skew > 0 else "behind"
    words = f"{abs(skew):,.0f} s {way} the providers': times in the ledger are wrong, certificates may be refused"
    return [*findings, Finding("clock", "warning", words, "set the clock (timedatectl set-ntp true)")]
