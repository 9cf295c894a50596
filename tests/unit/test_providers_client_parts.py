"""The pure parts around the client: waits, failures in words, what a body is, which models a local server has."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx2
import pytest

from equitrcoder.errors import (
    AuthenticationError,
    BadResponseError,
    ProviderError,
    ProviderOverloadedError,
    ProviderUnreachableError,
    QuotaExhaustedError,
    RequestRefusedError,
)
from equitrcoder.providers import PROVIDERS, choose_model
from equitrcoder.providers.failures import transport_error, without_key
from equitrcoder.providers.probe import first_model
from equitrcoder.providers.reception import kind_of
from equitrcoder.providers.retry import MAX_WAIT_S, is_retryable, wait_s
from equitrcoder.settings import Settings
from equitrcoder.testing import ScriptedProvider


def test_waits_grow_to_a_bound_and_stay_in_their_range() -> None:
    waits = [wait_s(failures, None, 0.0) for failures in range(1, 40)]
    assert waits[:6] == [1.0, 2.0, 4.0, 8.0, 16.0, 16.0]
    assert waits[-1] == 16.0
    assert wait_s(1, None, 1.0) == 0.75
    assert wait_s(1, 5.0, 0.9) == 5.0
    assert wait_s(1, 86_400.0, 0.9) == MAX_WAIT_S


@pytest.mark.parametrize(
    ("error", "headers", "first", "second"),
    [
        (ProviderOverloadedError("", status=503), {}, True, True),
        (ProviderOverloadedError("", status=503), {"x-should-retry": "false"}, False, False),
        (RequestRefusedError("", status=418), {"x-should-retry": "TRUE"}, True, True),
        (RequestRefusedError("", status=422), {"x-should-retry": "true"}, False, False),
        (AuthenticationError("", status=401), {"x-should-retry": "true"}, False, False),
        (QuotaExhaustedError("", status=429), {"x-should-retry": "true"}, False, False),
        (BadResponseError("", status=200), {}, False, False),
        (RequestRefusedError("", status=400), {"x-should-retry": "true"}, False, False),
        (BadResponseError("", status=400, retryable=True), {}, True, False),  # Groq: the model failed, not the request
    ],
)
def test_what_is_tried_again(error: ProviderError, headers: Mapping[str, str], first: bool, second: bool) -> None:
    assert (is_retryable(error, headers, 1), is_retryable(error, headers, 2)) == (first, second)


def caused_by(cause: BaseException) -> httpx2.ConnectError:
    error = httpx2.ConnectError("All connection attempts failed")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("model", "cause", "line", "retryable"),
    [
        (
            "ollama/qwen3",
            ExceptionGroup("multiple", [OSError(113, "x"), ConnectionRefusedError(111, "refused")]),
            "E302 ollama does not answer at http://127.0.0.1:11434 (connection refused). "
            "Fix: ollama serve, or set OLLAMA_HOST",
            False,
        ),
        (
            "local/m",
            ConnectionRefusedError(111, "refused"),
            "E302 local does not answer at http://localhost:8000 (connection refused). "
            "Fix: start the server there, or set LOCAL_BASE_URL",
            False,
        ),
        (
            "groq/m",
            ConnectionRefusedError(111, "refused"),
            "E302 groq does not answer at https://api.groq.com (connection refused). "
            "Fix: check the network, and HTTPS_PROXY if there is a proxy",
            True,
        ),
        (
            "groq/m",
            socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
            "E302 groq does not answer at https://api.groq.com (no such host). "
            "Fix: check the network, and HTTPS_PROXY if there is a proxy",
            False,
        ),
        (
            "groq/m",
            socket.gaierror(socket.EAI_AGAIN, "Temporary failure"),
            "E302 groq does not answer at https://api.groq.com (no such host). "
            "Fix: check the network, and HTTPS_PROXY if there is a proxy",
            True,
        ),
    ],
)
def test_a_connection_that_does_not_come_about_is_explained(
    model: str, cause: BaseException, line: str, retryable: bool
) -> None:
    choice = choose_model(Settings(), {"GROQ_API_KEY": "k"}, model)
    error = transport_error(caused_by(cause), choice, partial=None, idle_timeout_s=1)
    assert isinstance(error, ProviderUnreachableError)
    assert (str(error), error.retryable) == (line, retryable)


def test_a_certificate_that_is_not_trusted_is_explained_and_final() -> None:
    cause = ssl.SSLCertVerificationError(1, "verify failed")
    cause.verify_message = "self-signed certificate"
    choice = choose_model(Settings(), {"GROQ_API_KEY": "k"}, "groq/m")
    error = transport_error(caused_by(cause), choice, partial=None, idle_timeout_s=1)
    assert "its certificate is not trusted: self-signed certificate" in error.message
    assert not error.retryable


def test_a_short_key_is_not_cut_out_of_ordinary_words() -> None:
    assert without_key("a test of the key", "test") == "a test of the key"
    assert without_key("key sk-123456", "sk-123456") == "key [key]"
    assert without_key("no key", None) == "no key"


@pytest.mark.parametrize(
    ("content_type", "start", "kind"),
    [
        ("text/event-stream", b"\n\n: ping", "stream"),
        ("application/json", b"\xef\xbb\xbfdata: {", "stream"),
        ("", b"retry: 100\n", "stream"),
        ("text/event-stream; charset=utf-8", b"  {", "document"),
        ("application/json", b"[", "document"),
        ("application/json", b"\n<html>", "web page"),
        ("text/plain", b"Not Found", "document"),
        ("application/x-ndjson", b"{", "stream"),
    ],
)
def test_a_body_is_what_its_first_byte_says(content_type: str, start: bytes, kind: str) -> None:
    assert kind_of(content_type, start, streaming=True) == kind_of(content_type, start, streaming=False) == kind


def test_an_empty_body_is_what_was_asked_for() -> None:
    assert (kind_of("", b"", streaming=True), kind_of("", b"", streaming=False)) == ("stream", "document")


@pytest.mark.parametrize(
    ("models", "taken"),
    [
        (["llava", "hf.co/x/Qwen3-8B", "gpt-oss:20b"], "gpt-oss:20b"),
        (["llava", "qwen3:8b"], "qwen3:8b"),
        (["llava", "tiny"], "llava"),
        ([], None),
    ],
)
def test_a_local_server_is_asked_which_models_it_has(models: list[str], taken: str | None) -> None:
    with ScriptedProvider([], models=models) as server:
        assert first_model(PROVIDERS["local"], server.base_url) == taken


def test_a_server_that_is_none_has_no_model() -> None:
    class NothingThere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), NothingThere) as server:
        answering = threading.Thread(target=server.handle_request)
        answering.start()
        assert first_model(PROVIDERS["ollama"], f"http://127.0.0.1:{server.server_port}") is None
        answering.join()
    with ScriptedProvider([]) as server:
        pass
    assert first_model(PROVIDERS["ollama"], server.base_url) is None  # nobody listens any more
