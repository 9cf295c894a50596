"""A model for measuring: answers N times with one shell call, then with a text; logs the moments of every request.

    python bench/model_server.py PORT LOG --turns 20

Chat Completions on loopback, JSON or SSE as the request asks. Each line of LOG: `first` (first byte read), `read`
(whole request read), `answered` (last byte written), on the monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from pathlib import Path
from typing import Any, TextIO

SHELL_TOOLS = ("run_command", "bash", "shell")
USAGE = {"prompt_tokens": 1000, "completion_tokens": 20, "total_tokens": 1020}


def answer(request: dict[str, Any], turns: int) -> dict[str, Any]:
    """The assistant message for a request, by how many answers the conversation holds already."""
    turn = sum(message["role"] == "assistant" for message in request["messages"]) + 1
    if turn > turns:
        return {"role": "assistant", "content": "All files were read."}
    names = [tool["function"]["name"] for tool in request["tools"]]
    name = next(name for name in names if name in SHELL_TOOLS)
    function = {"name": name, "arguments": json.dumps({"command": f"cat f{turn}.txt"})}
    call = {"id": f"call_{turn:04d}", "type": "function", "function": function}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def as_json(message: dict[str, Any]) -> bytes:
    finish = "tool_calls" if "tool_calls" in message else "stop"
    choice = {"index": 0, "message": message, "finish_reason": finish}
    body = json.dumps({"id": "c", "object": "chat.completion", "model": "m", "choices": [choice], "usage": USAGE})
    return head("application/json") + f"content-length: {len(body)}\r\n\r\n{body}".encode()


def as_stream(message: dict[str, Any]) -> bytes:
    finish = "tool_calls" if "tool_calls" in message else "stop"
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": None}]
    if finish == "stop":
        deltas.append({"content": message["content"]})
    for call in message.get("tool_calls", ()):
        text, function = call["function"]["arguments"], call["function"]
        deltas.append({"tool_calls": [{"index": 0, **call, "function": {**function, "arguments": ""}}]})
        for part in (text[: len(text) // 2], text[len(text) // 2 :]):
            deltas.append({"tool_calls": [{"index": 0, "function": {"arguments": part}}]})
    chunks = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks += [{"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}, {"choices": [], "usage": USAGE}]
    frame = {"id": "c", "object": "chat.completion.chunk", "model": "m"}
    text = "".join(f"data: {json.dumps(frame | chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
    body = text.encode()
    return head("text/event-stream") + b"transfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


def head(content_type: str) -> bytes:
    return f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\n".encode()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, turns: int, log: TextIO) -> None:
    while await reader.readline():
        first = time.monotonic()
        length = 0
        while (line := (await reader.readline()).strip()) != b"":
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        request = json.loads(await reader.readexactly(length))
        read = time.monotonic()
        message = answer(request, turns)
        writer.write(as_stream(message) if request.get("stream") else as_json(message))
        await writer.drain()
        log.write(json.dumps({"first": first, "read": read, "answered": time.monotonic()}) + "\n")
    writer.close()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("log", type=Path)
    parser.add_argument("--turns", type=int, default=20)
    options = parser.parse_args()
    with options.log.open("w", buffering=1) as log:
        server = await asyncio.start_server(
            lambda r, w: serve(r, w, options.turns, log), "127.0.0.1", options.port, limit=2**26
        )
        async with server:
            await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
