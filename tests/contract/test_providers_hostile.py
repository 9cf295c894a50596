"""What no well-made provider would send, over a real socket: a typed error in bounded time and memory, never a turn."""

from __future__ import annotations

import gzip
import json
import shutil
import ssl
import subprocess
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from equitrcoder.errors import (
    BadResponseError,
    ProviderError,
    ProviderOverloadedError,
    ProviderTimeoutError,
    ProviderUnreachableError,
    RequestRefusedError,
    StreamBrokenError,
)
from tests.asking import KEY, Asked, everything_said
from tests.raw_server import Line, RawServer, Reply

ANSWER = {"choices": [{"message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}]}
DOCUMENT = json.dumps(ANSWER).encode()
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n'
FINISH = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
CALL = (
    b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c1","type":"function","function":'
    b'{"name":"run_command","arguments":"{\\"command\\": \\"rm -rf /\\"}"}}]}}]}\n\n'
)
CHUNKED = b"transfer-encoding: chunked"


def head(*lines: bytes, status: int = 200, kind: bytes = b"application/json") -> bytes:
    return b"\r\n".join([b"HTTP/1.1 %d X" % status, b"content-type: " + kind, *lines, b"", b""])


def stream(*lines: bytes) -> bytes:
    return head(*lines, kind=b"text/event-stream")


def whole(body: bytes, *lines: bytes, status: int = 200, kind: bytes = b"application/json") -> bytes:
    return head(b"content-length: %d" % len(body), *lines, status=status, kind=kind) + body


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def then(start: bytes, go_on: Callable[[Line], object]) -> Callable[[Line], None]:
    def reply(line: Line) -> None:
        line.send(start)
        go_on(line)

    return reply


def flood(start: bytes, piece: bytes) -> Callable[[Line], None]:
    return then(start, lambda line: line.flood(piece))


def silence(start: bytes = b"") -> Callable[[Line], None]:
    return then(start, Line.until_gone)


def packed(size_mib: int, byte: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join([packer.compress(byte * (1 << 20)) for _ in range(size_mib)]) + packer.flush()


BROKEN_HTTP: dict[str, Reply] = {
    "http/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "bytes": b"\x00\xff\x16\x03garbage\r\n\r\n",
    "status": b"HTTP/1.1 abc OK\r\n\r\n",
    "no colon": b"HTTP/1.1 200 OK\r\nnocolon\r\n\r\n",
    "headers without end": flood(b"HTTP/1.1 200 OK\r\n", b"x-a: " + b"b" * 1000 + b"\r\n"),
    "a header without end": flood(b"HTTP/1.1 200 OK\r\nx-a: ", b"b" * 1000),
    "negative length": head(b"content-length: -5") + DOCUMENT,
    "two lengths": head(b"content-length: 5", b"content-length: 10") + DOCUMENT,
    "endless length": head(b"content-length: 999999999999999999999999") + DOCUMENT,
    "unknown coding": head(b"transfer-encoding: snappy") + DOCUMENT,
    "another protocol agreed": b"HTTP/1.1 101 X\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
}

BROKEN_OFF: dict[str, Reply] = {
    "length too long": head(b"content-length: 1000") + DOCUMENT,
    "chunk size": stream(CHUNKED) + chunk(CALL) + b"zz\r\n",
    "negative chunk size": stream(CHUNKED) + chunk(CALL) + b"-5\r\nhello\r\n",
    "huge chunk size": stream(CHUNKED) + chunk(CALL) + b"ffffffffffffffffffff\r\nhello",
    "chunk size without end": flood(stream(CHUNKED), b"0000000000"),
    "chunk extension without end": flood(stream(CHUNKED) + b"5;", b"a=b;" * 100),
    "chunks without their end": stream(CHUNKED) + chunk(EVENT) + chunk(CALL),
    "in an event": stream() + EVENT + CALL[:-40],
    "between two events": stream() + EVENT + CALL,
    "packed, cut": whole(gzip.compress(CALL * 100)[:-12], b"content-encoding: gzip", kind=b"text/event-stream"),
}

NO_ANSWER: dict[str, Reply] = {
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "packed, it says": whole(DOCUMENT, b"content-encoding: gzip"),
    "packed, wrong sum": whole(gzip.compress(DOCUMENT)[:-8] + b"\0" * 8, b"content-encoding: gzip"),
    "packed 200 times, it says": whole(DOCUMENT, b"content-encoding: " + b", ".join([b"gzip"] * 200)),
    "packed in vain": whole(gzip.compress(gzip.compress(DOCUMENT)), b"content-encoding: gzip"),
    "web page": whole(b"<html><title>Sign in</title></html>", kind=b"text/html"),
    "words": whole(b"It works!", kind=b"text/plain"),
    "more after the end": whole(DOCUMENT + b" garbage"),
    "two documents": whole(DOCUMENT + DOCUMENT),
    "UTF-16": whole(DOCUMENT.decode().encode("utf-16")),
    "Latin-1": whole(DOCUMENT.replace(b"hi", b"h\xe9")),
    "NaN": whole(DOCUMENT.replace(b'"hi"', b"NaN")),
    "a list": whole(b"[]"),
    "null": whole(b"null"),
    "a text": whole(b'"hello"'),
    "a number": whole(b"42"),
    "depth": whole(b"[" * 200_000),
    "no choices": whole(b'{"choices":[]}'),
    "choices of a wrong type": whole(b'{"choices":{"a":1}}'),
    "a message of a wrong type": whole(b'{"choices":[{"message":"hi"}]}'),
    "calls of a wrong type": whole(b'{"choices":[{"message":{"content":5,"tool_calls":"x"},"finish_reason":7}]}'),
    "null among the choices": whole(b'{"choices":[null]}'),
}

REFUSED: dict[str, Reply] = {
    **{str(status): whole(b"no", status=status, kind=b"text/plain") for status in (410, 418, 425, 451)},
    "300": whole(b"", status=300),
    "302": whole(b"", b"location: http://127.0.0.1:1/x", status=302),
    "no address": whole(b"", b"location: http://[::1/x", status=307),
    "304": b"HTTP/1.1 304 Not Modified\r\n\r\n",
    "zeros without end": flood(head(status=400), b"\0" * 65536),
}


async def asked_of(reply: Reply, *, streaming: bool, **options: object) -> Asked:
    asked = Asked()
    with RawServer(reply) as server:
        await asked.run(server.base_url, stream=streaming, **{"max_attempts": 1, "deadline_s": 60.0, **options})
        asked.requests = server.requests
    assert asked.response is None
    assert asked.error is not None
    assert asked.requests == len(asked.failed) == 1
    assert KEY not in everything_said(asked.error)
    assert "(groq/openai/gpt-oss-20b" in str(asked.error)
    assert "Fix: " in str(asked.error)
    assert str(asked.error).isprintable()
    return asked


@pytest.mark.parametrize(
    ("reply", "kind", "retryable"),
    [
        *[pytest.param(reply, BadResponseError, False, id=f"http: {name}") for name, reply in BROKEN_HTTP.items()],
        *[pytest.param(reply, StreamBrokenError, True, id=f"broken off: {name}") for name, reply in BROKEN_OFF.items()],
        *[pytest.param(reply, BadResponseError, False, id=f"no answer: {name}") for name, reply in NO_ANSWER.items()],
        *[pytest.param(reply, RequestRefusedError, False, id=f"refused: {name}") for name, reply in REFUSED.items()],
        pytest.param(b"", ProviderUnreachableError, True, id="closed at once"),
        pytest.param(b"SSH-2.0-OpenSSH_9.9\r\n", ProviderUnreachableError, True, id="closed in another protocol"),
        pytest.param(DOCUMENT, ProviderUnreachableError, True, id="closed without a head"),
        pytest.param(whole(b""), BadResponseError, True, id="empty"),
        pytest.param(whole(b" \r\n\r\n" * 99), BadResponseError, True, id="blank"),
        pytest.param(head(b"content-length: 10") + DOCUMENT, BadResponseError, True, id="length too short"),
        pytest.param(whole(b"{}", status=999), ProviderOverloadedError, True, id="999"),
    ],
)
async def test_it_ends_in_a_typed_error(reply: Reply, kind: type[ProviderError], retryable: bool) -> None:
    for streaming in (True, False):
        error = (await asked_of(reply, streaming=streaming)).error
        assert (type(error), error and error.retryable) == (kind, retryable), error


SLOW: dict[str, Reply] = {
    "100 without end": flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a head without end": then(b"HTTP/1.1 200 OK\r\nx-a: ", lambda line: line.drip(b"x")),
    "comments": then(stream(), lambda line: line.drip(b": ping\n\n")),
    "empty pieces": then(stream(), lambda line: line.drip(b'data: {"choices":[{"index":0,"delta":{}}]}\n\n')),
    "text": then(stream(), lambda line: line.drip(EVENT)),
    "blanks": then(head(), lambda line: line.drip(b" ")),
    "an error": then(head(status=500), lambda line: line.drip(b" ")),
}


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("reply", SLOW.values(), ids=SLOW)
async def test_what_drips_meets_the_deadline(reply: Reply, streaming: bool) -> None:
    error = (await asked_of(reply, streaming=streaming, deadline_s=0.3, max_attempts=5)).error
    assert type(error) is ProviderTimeoutError
    assert "not done after 0.3 s" in error.message


@pytest.mark.parametrize(
    "reply",
    [silence(), silence(b"HTTP/1.1 200 OK\r\ncontent-"), silence(stream()), silence(stream() + EVENT + CALL[:60])],
    ids=["before the head", "in the head", "after the head", "in an event"],
)
async def test_silence_meets_the_idle_timeout(reply: Reply) -> None:
    error = (await asked_of(reply, streaming=True, idle_timeout_s=0.2)).error
    assert type(error) is ProviderTimeoutError
    assert error.message.startswith("groq was silent for 0.2 s.")
    assert error.retryable


FLOODS: dict[str, Reply] = {
    "comments": flood(stream(), b": still working on it, please be patient for a while\n\n" * 200),
    "empty pieces": flood(stream(), b'data: {"choices":[{"index":0,"delta":{}}]}\n\n' * 200),
    "text": flood(stream(), EVENT * 200),
    "reasoning": flood(stream(), b'data: {"choices":[{"index":0,"delta":{"reasoning":"hmm "}}]}\n\n' * 200),
    "calls": flood(stream(), CALL * 200),
    "line ends": flood(stream(), b"\n" * 4096),
    "blanks": flood(head(), b" " * 4096),
    "one line": flood(stream(), b"a" * 65536),
    "one event": flood(stream() + b"data: ", b"a" * 65536),
    "one document": flood(head() + b'{"a":"', b"a" * 65536),
    "packed blanks": whole(packed(100, b" "), b"content-encoding: gzip"),
    "packed text": whole(packed(100, b"a"), b"content-encoding: gzip", kind=b"text/event-stream"),
    "packed twice": whole(gzip.compress(packed(100, b"a")), b"content-encoding: gzip, gzip"),
}


@pytest.mark.parametrize("reply", FLOODS.values(), ids=FLOODS)
async def test_what_never_ends_is_cut_off_in_bounded_memory(reply: Reply, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("equitrcoder.providers.reception.MAX_ANSWER_BYTES", 1 << 20)
    tracemalloc.start()
    try:
        error = (await asked_of(reply, streaming=True)).error
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert type(error) is BadResponseError
    assert "more than 1 MiB in one answer" in error.message
    assert peak_bytes < 40 << 20


async def test_a_packed_error_is_read_to_a_bound() -> None:
    tracemalloc.start()
    try:
        await asked_of(whole(packed(100, b" "), b"content-encoding: gzip", status=400), streaming=True)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 20 << 20


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n" + DOCUMENT,
        b"HTTP/1.1 103 Early Hints\r\nlink: <x>\r\n\r\n" + whole(DOCUMENT),
        head(b"x-big: " + b"y" * 50_000, b"content-length: %d" % len(DOCUMENT)) + DOCUMENT,
        whole(gzip.compress(DOCUMENT), b"content-encoding: gzip"),
        whole(b"\xef\xbb\xbf\r\n" + DOCUMENT),
        stream(CHUNKED) + chunk(EVENT + FINISH),
        flood(stream(CHUNKED) + chunk(EVENT + FINISH) + b"0\r\n", b"x-a: b\r\n" * 100),
        stream() + EVENT + FINISH + b"data: garbage\n\n" * 9,
    ],
    ids=["http/1.0", "103 first", "large header", "packed", "BOM", "no last chunk", "trailers", "more after the end"],
)
async def test_what_is_only_odd_is_an_answer(reply: Reply, streaming: bool) -> None:
    asked = Asked()
    with RawServer(reply) as server:
        await asked.run(server.base_url, stream=streaming, max_attempts=1)
    assert asked.response is not None, asked.error
    assert asked.response.turn.text == "hi"


async def test_a_request_id_is_shown_without_what_a_terminal_would_obey() -> None:
    reply = whole(b"{}", b"x-request-id: \x1b[31mreq\xff_1\x07", status=400)
    error = (await asked_of(reply, streaming=True)).error
    assert "request id [31mreq_1)" in str(error)


@pytest.mark.parametrize("end", ["closes", "resets"])
async def test_a_kept_connection_that_the_provider_closed_costs_no_attempt_and_no_wait(end: str) -> None:
    def first(line: Line) -> bool:
        line.send(whole(DOCUMENT))
        return True  # the connection is kept

    def hang_up(line: Line) -> None:
        if end == "resets":
            line.reset()

    asked = Asked()
    with RawServer(first, hang_up, whole(DOCUMENT)) as server:
        async with asked.client(server.base_url, max_attempts=1) as model:
            await asked.ask(model, stream=False)
            await asked.ask(model, stream=False)
    assert asked.error is None
    assert asked.response is not None
    assert asked.response.attempts == 2  # the provider may have seen both requests: both are told
    assert [(failed.attempt, failed.wait_s) for failed in asked.failed] == [(1, 0.0)]
    assert asked.waits == [0.0]
    assert (server.requests, server.connections) == (3, 2)


async def test_a_fresh_connection_that_is_closed_at_once_is_a_failure() -> None:
    asked = await asked_of(b"", streaming=False)
    assert asked.failed[0].wait_s is None


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with openssl")
async def test_a_self_signed_certificate_is_refused_with_the_reason(tmp_path: Path) -> None:
    certificate = tmp_path / "certificate.pem"
    made = f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=x -keyout {certificate} -out {certificate}"
    subprocess.run(made.split(), check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    asked = Asked()
    with RawServer(whole(DOCUMENT), tls=tls) as server:
        await asked.run(server.base_url)
    assert type(asked.error) is ProviderUnreachableError
    assert "its certificate is not trusted: self-signed certificate" in str(asked.error)
    assert (server.requests, asked.waits) == (0, [])


async def test_tls_against_a_server_without_it_is_told() -> None:
    asked = Asked()
    with RawServer(whole(DOCUMENT)) as server:
        await asked.run(server.base_url.replace("http:", "https:"), max_attempts=1)
    assert type(asked.error) is ProviderUnreachableError
    assert "does not answer at https://127.0.0.1" in str(asked.error)
