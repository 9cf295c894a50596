"""The scripted provider over real sockets: the official SDK unchanged, every fault, and nothing left behind."""

from __future__ import annotations

import asyncio
import dataclasses
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from equitrcoder.testing import Answer, Call, Fault, ReceivedRequest, Reply, ScriptedProvider, Usage
from equitrcoder.testing.script_file import read_script


def client_of(provider: ScriptedProvider) -> openai.OpenAI:
    return openai.OpenAI(base_url=provider.base_url, api_key="no-key-needed", max_retries=0)


ANSWER = Answer(
    text="I look at both files.",
    calls=[Call("read_file", {"file_path": "a.py"}, id="call_a"), Call("read_file", {"file_path": "ü.py"})],
    usage=Usage(input_tokens=120, output_tokens=30, cached_read_tokens=100, reasoning_tokens=7),
)


def ask(client: openai.OpenAI, **options: Any) -> Any:
    return client.chat.completions.create(model="m-1", messages=[{"role": "user", "content": "go"}], **options)


def test_the_openai_sdk_reads_an_answer() -> None:
    with ScriptedProvider([ANSWER]) as provider, client_of(provider) as client:
        completion = ask(client)
    choice = completion.choices[0]
    assert (completion.model, choice.finish_reason, choice.message.content) == ("m-1", "tool_calls", ANSWER.text)
    assert [
        (call.id, call.function.name, json.loads(call.function.arguments)) for call in choice.message.tool_calls
    ] == [
        ("call_a", "read_file", {"file_path": "a.py"}),
        ("call_1_1", "read_file", {"file_path": "ü.py"}),
    ]
    assert completion.usage.total_tokens == 150
    assert completion.usage.prompt_tokens_details.cached_tokens == 100
    assert completion.usage.completion_tokens_details.reasoning_tokens == 7


def test_the_openai_sdk_reads_a_stream_with_usage() -> None:
    with ScriptedProvider([ANSWER]) as provider, client_of(provider) as client:
        stream = client.chat.completions.stream(
            model="m-1", messages=[{"role": "user", "content": "go"}], stream_options={"include_usage": True}
        )
        with stream as events:
            completion = events.get_final_completion()
    choice = completion.choices[0]
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", ANSWER.text)
    assert [call.function.arguments for call in choice.message.tool_calls] == [
        '{"file_path": "a.py"}',
        '{"file_path": "ü.py"}',
    ]
    assert completion.usage.prompt_tokens == 120


def test_the_openai_sdk_lists_models_and_meets_errors() -> None:
    slow_down = Fault(status=429, headers={"retry-after": "7"}, body={"error": {"message": "slow down"}})
    broken = Fault(error={"message": "overloaded"}, insert_after_events=1)
    with ScriptedProvider([slow_down, broken], models=["a", "b"]) as provider, client_of(provider) as client:
        assert [model.id for model in client.models.list()] == ["a", "b"]
        with pytest.raises(openai.RateLimitError, match="slow down") as refused:
            ask(client)
        with pytest.raises(openai.APIError, match="overloaded"):
            list(ask(client, stream=True))
    assert refused.value.response.headers["retry-after"] == "7"
    assert provider.errors == []


# --- the HTTP part, with the plainest client there is


def connect(provider: ScriptedProvider) -> http.client.HTTPConnection:
    host, port = provider.base_url.removeprefix("http://").removesuffix("/v1").split(":")
    return http.client.HTTPConnection(host, int(port), timeout=10)


def post(connection: http.client.HTTPConnection, *, stream: bool = False, **options: Any) -> http.client.HTTPResponse:
    body = json.dumps({"model": "m", "messages": [], "stream": stream})
    connection.request("POST", "/v1/chat/completions", body, **options)
    return connection.getresponse()


def test_one_connection_serves_many_requests_in_order() -> None:
    letters = "abcdefghijklmnopqrst"
    with ScriptedProvider([Answer(text=letter) for letter in letters]) as provider:
        connection = connect(provider)
        texts, ports = [], set()
        for place in range(len(letters)):
            with post(connection, stream=place % 2 == 1) as response:
                ports.add(connection.sock.getsockname()[1])
                texts.append(response.read())
        connection.close()
    assert all(f'"content":"{letter}"'.encode() in text for letter, text in zip(letters, texts, strict=True))
    assert len(ports) == 1
    assert [request.number for request in provider.requests] == list(range(1, 21))
    assert all(request.received_at <= request.answered_at for request in provider.requests if request.answered_at)
    assert all(request.answered_at is not None for request in provider.requests)


def test_requests_are_kept_as_received() -> None:
    with ScriptedProvider([Answer(), Answer(), Answer()]) as provider:
        connection = connect(provider)
        connection.request("POST", "/any/chat/completions?x=1", b"\xff not json", {"X-Mine": "1"})
        connection.getresponse().read()
        pieces = iter([b'{"stream"', b": false}"])
        connection.request("POST", "/v1/chat/completions", pieces, {"expect": "100-continue"}, encode_chunked=True)
        connection.getresponse().read()
        connection.request("POST", "/v1/chat/completions", b"[" * 100_000)  # deeper than the reader goes
        connection.getresponse().read()
        connection.close()
    first, second, third = provider.requests
    assert (first.method, first.path, first.body, first.json) == (
        "POST",
        "/any/chat/completions?x=1",
        b"\xff not json",
        None,
    )
    assert first.headers["x-mine"] == "1"
    assert (second.body, second.json) == (b'{"stream": false}', {"stream": False})
    assert (len(third.body), third.json) == (100_000, None)


def test_a_used_up_script_is_said_on_both_sides() -> None:
    with ScriptedProvider([]) as provider:
        connection = connect(provider)
        with post(connection) as response:
            error = json.load(response)["error"]
        connection.request("GET", "/elsewhere")
        with connection.getresponse() as elsewhere:
            assert (elsewhere.status, elsewhere.read() != b"") == (404, True)
        connection.close()
    assert response.status == 500
    assert "the script is used up: all 0 replies were given" in error["message"]
    assert provider.errors == [
        error["message"],
        "scripted provider, request 2 (GET /elsewhere): no such path here",
    ]


def test_a_script_that_raises_is_said_on_both_sides() -> None:
    def script(_request: ReceivedRequest) -> Reply:
        raise ZeroDivisionError("my own bug")

    with ScriptedProvider(script) as provider:
        connection = connect(provider)
        with post(connection) as response:
            assert b"ZeroDivisionError: my own bug" in response.read()
        connection.close()
    assert response.status == 500
    assert len(provider.errors) == 1


def test_a_script_can_look_at_the_request() -> None:
    def script(request: ReceivedRequest) -> Reply:
        return Answer(text=f"you sent {request.json['model']}")

    with ScriptedProvider(script) as provider, client_of(provider) as client:
        assert ask(client).choices[0].message.content == "you sent m-1"


def test_what_is_no_http_is_refused() -> None:
    with ScriptedProvider([]) as provider:
        connection = connect(provider)
        connection.connect()
        connection.sock.sendall(b"hello\r\n\r\n")
        assert connection.sock.recv(100).startswith(b"HTTP/1.1 400 ")
        connection.close()
    assert provider.errors == ["not a request line: b'hello\\r\\n'"]


def broken_off(fault: Fault, *, stream: bool) -> tuple[bytes, type[BaseException] | None]:
    """What arrives of the body, and the error that the reader meets."""
    with ScriptedProvider([fault]) as provider:
        connection = connect(provider)
        try:
            with post(connection, stream=stream) as response:
                return response.read(), None
        except http.client.IncompleteRead as error:
            return error.partial, http.client.IncompleteRead
        except (http.client.RemoteDisconnected, ConnectionResetError) as error:
            return b"", type(error)
        finally:
            connection.close()
            assert provider.requests[0].answered_at is None


def test_a_connection_can_end_before_the_answer() -> None:
    assert broken_off(Fault(close_before_answer=True), stream=False) == (b"", http.client.RemoteDisconnected)
    assert broken_off(Fault(close_before_answer=True, reset=True), stream=False) == (b"", ConnectionResetError)


@pytest.mark.parametrize("stream", [False, True])
def test_a_connection_can_end_in_the_middle(stream: bool) -> None:
    body, error = broken_off(Fault(close_after_bytes=50), stream=stream)
    assert (len(body), error) == (50, http.client.IncompleteRead)


def test_a_stream_can_end_between_events() -> None:
    body, error = broken_off(Fault(close_after_events=2), stream=True)
    assert (body.count(b"data: "), body[-2:], error) == (2, b"\n\n", http.client.IncompleteRead)


def test_a_stalled_answer_goes_on_when_released() -> None:
    with ScriptedProvider([Fault(stall_after_events=1)]) as provider:
        connection = connect(provider)
        with post(connection, stream=True) as response:
            first = response.readline()
            provider.wait_for_stalled()
            assert provider.requests[0].answered_at is None
            provider.release()
            rest = response.read()
        connection.close()
    assert b"assistant" in first
    assert rest.endswith(b"data: [DONE]\n\n")
    assert provider.requests[0].answered_at is not None


def test_a_hang_up_during_a_stall_is_seen() -> None:
    with ScriptedProvider([Fault(stall_after_events=1), Fault(stall_before_answer=True)]) as provider:
        connection = connect(provider)
        response = post(connection, stream=True)
        provider.wait_for_stalled()
        response.close()
        connection.close()
        (left,) = provider.wait_for_hang_ups()
        assert (left.number, left.answered_at) == (1, None)


def test_an_answer_that_nobody_takes_is_not_answered() -> None:
    with ScriptedProvider([Fault(body=b"x" * 50_000_000)]) as provider:  # more than the system keeps for a reader
        connection = connect(provider)
        response = post(connection)
        response.close()
        connection.close()
        (left,) = provider.wait_for_hang_ups()
        assert left.answered_at is None


def test_a_script_is_asked_for_one_request_at_a_time() -> None:
    inside, overlapped = threading.Semaphore(1), threading.Event()

    def script(_request: ReceivedRequest) -> Reply:
        if not inside.acquire(blocking=False):
            overlapped.set()
            return Answer()
        provider.wait_for_requests(2)
        overlapped.wait(0.2)  # the other request is there and has all the time it needs to get in
        inside.release()
        return Answer()

    with ScriptedProvider(script) as provider:
        first, second = connect(provider), connect(provider)
        for connection in (first, second):
            connection.request("POST", "/v1/chat/completions", b"{}")
        for connection in (first, second):
            connection.getresponse().read()
            connection.close()
    assert not overlapped.is_set()
    assert provider.errors == []


def test_waiting_for_requests_waits_and_gives_up() -> None:
    with ScriptedProvider([Answer()]) as provider:
        with pytest.raises(TimeoutError, match=r"waited 0\.01 s for 1 requests; 0 requests have arrived"):
            provider.wait_for_requests(1, 0.01)
        asking = threading.Thread(target=lambda: urllib.request.urlopen(provider.base_url + "/models").close())
        asking.start()
        assert [request.path for request in provider.wait_for_requests(1)] == ["/v1/models"]
        asking.join()


def open_files() -> int:
    return len(os.listdir("/proc/self/fd" if sys.platform == "linux" else "/dev/fd"))


@pytest.mark.parametrize(
    "fault",
    [
        Fault(stall_before_answer=True),
        Fault(stall_after_bytes=10),
        Fault(delay_s=3600),
        Fault(drip_bytes=1, drip_pause_s=3600),
    ],
)
def test_close_leaves_no_thread_and_no_socket(fault: Fault) -> None:
    threads, files = threading.active_count(), open_files()
    provider = ScriptedProvider([fault])
    busy, idle = connect(provider), connect(provider)
    idle.connect()
    busy.request("POST", "/v1/chat/completions", b'{"stream": true}')
    provider.wait_for_requests(1)
    provider.close()
    provider.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(provider.base_url.split(":")[2].split("/")[0])))
    busy.close()
    idle.close()
    assert (threading.active_count(), open_files()) == (threads, files)


async def test_a_hundred_connections_at_a_time_each_get_their_own_answer() -> None:
    count = 100

    def script(request: ReceivedRequest) -> Reply:
        return Fault(answer=Answer(text=f"for {request.json['messages'][0]['content']}"), stall_after_events=1)

    async def ask_one(client: httpx2.AsyncClient, number: int) -> str:
        body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": f"<{number}>"}]}
        response = await client.post("/chat/completions", json=body)
        deltas = [json.loads(line[6:])["choices"][0]["delta"] for line in response.text.split("\n\n")[:-2]]
        return "".join(delta.get("content") or "" for delta in deltas)

    async with ScriptedProvider(script) as provider:
        limits = httpx2.Limits(max_connections=count)
        async with httpx2.AsyncClient(base_url=provider.base_url, limits=limits, timeout=60) as client:
            asking = [asyncio.create_task(ask_one(client, number)) for number in range(count)]
            await asyncio.to_thread(provider.wait_for_stalled, count, 60)
            provider.release()
            assert await asyncio.gather(*asking) == [f"for <{number}>" for number in range(count)]
    assert provider.errors == []


# --- in a process of its own


@pytest.fixture
def serve(tmp_path: Path) -> Any:
    running: list[subprocess.Popen[str]] = []

    def start(script: Any, *options: str) -> tuple[str, Callable[[], tuple[int, str]]]:
        path = tmp_path / "script.json"
        path.write_text(json.dumps(script), encoding="utf-8")
        command = [sys.executable, "-m", "equitrcoder.testing", str(path), *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        running.append(process)
        assert process.stdout is not None
        url = process.stdout.readline().strip()

        def stop() -> tuple[int, str]:
            process.send_signal(signal.SIGTERM)
            return process.wait(10), process.communicate()[1]

        return url, stop

    yield start
    for process in running:
        process.kill()
        process.communicate()


def test_a_process_of_its_own_logs_each_request_before_it_answers(serve: Any, tmp_path: Path) -> None:
    log = tmp_path / "requests.jsonl"
    url, stop = serve([{"fault": {"stall_after_bytes": 0}}], "--log", str(log))
    body = b'{"messages": [{"role": "user", "content": "hi"}]}'
    request = urllib.request.Request(url + "/chat/completions", body, {"authorization": "Bearer sk-1"})
    with urllib.request.urlopen(request):  # the head has come, the body never will
        (line,) = log.read_text().splitlines()
    assert stop() == (0, "")
    first = json.loads(line)
    assert first["json"] == json.loads(body)
    assert first["headers"]["authorization"] == "(hidden)"
    assert "sk-1" not in line


def test_a_process_of_its_own_ends_with_what_went_wrong(serve: Any) -> None:
    url, stop = serve({"replies": [], "models": ["m"]})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(url + "/chat/completions", data=b"{}")
    refused.value.close()
    code, said = stop()
    assert (code, said.count("\n")) == (1, 1)
    assert "the script is used up" in said


def test_a_wrong_script_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "script.json"
    path.write_text('[{"txt": 1}]')
    done = subprocess.run([sys.executable, "-m", "equitrcoder.testing", path], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert "replies[0]: unknown key 'txt'; closest: text" in done.stderr


def test_the_package_stays_light() -> None:
    """No HTTP library, no event loop, none of the agent."""
    code = "import sys, equitrcoder.testing; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"asyncio", "httpx2", "ssl", "orjson", "equitrcoder.agent"}.isdisjoint(loaded)


# --- its page

PAGE = Path(__file__).parents[2] / "docs" / "testing.md"


def blocks(language: str) -> list[str]:
    return [block.split("```")[0] for block in PAGE.read_text(encoding="utf-8").split(f"```{language}\n")[1:]]


@pytest.mark.parametrize("example", blocks("python"))
def test_the_examples_of_the_page_run(example: str) -> None:
    exec(compile(example, str(PAGE), "exec"), {})


def test_the_script_of_the_page_is_one_and_every_fault_is_named_there() -> None:
    (script,) = blocks("json")
    assert callable(read_script(script).script)
    page = PAGE.read_text(encoding="utf-8")
    assert [field.name for field in dataclasses.fields(Fault) if f"`{field.name}" not in page] == []
