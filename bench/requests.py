"""`python -m bench.requests`: what the next request costs, beside serialising the conversation once.

Conversations of 30, 300 and 3000 messages (calls with results of half a kilobyte, as an agent's are) in each wire.
`build` is what a turn does before its body is bytes: one new answer and its results on top of what was there; `anew`
builds all of it, as the first request of a resumed session does. `once` is orjson.dumps of the same body. The aim
(DESIGN.md section 9) is that a turn costs no more than serialising once beside what is new; the last column is build
and dumps together, in times of dumps alone. Each figure is the least of several rounds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import orjson

from equitrcoder.providers import PROVIDERS
from equitrcoder.wires import wire
from equitrcoder.wires.values import (
    AssistantMessage,
    Conversation,
    EchoedCall,
    RequestOptions,
    ResultForModel,
    ToolResults,
    UserMessage,
)

ROWS = ("local", "openai", "anthropic", "gemini", "ollama", "cohere", "mistral")
ARGUMENTS: dict[str, Any] = {"file_path": "src/a.py"}
RESULT = "line of code\n" * 40


def native(wire_name: str, n: int) -> dict[str, Any]:
    function = {"name": "read_file", "arguments": orjson.dumps(ARGUMENTS).decode()}
    call = {"id": f"call{n:05}", "type": "function", "function": function}
    match wire_name:
        case "openai-responses":
            item = {"type": "function_call", "id": f"fc_{n}", "call_id": call["id"], "status": "completed", **function}
            thought = {"type": "reasoning", "id": f"rs_{n}", "summary": [], "encrypted_content": "x" * 800}
            return {"output": [thought, item]}
        case "anthropic-messages":
            use = {"type": "tool_use", "id": call["id"], "name": "read_file", "input": ARGUMENTS}
            thought = {"type": "thinking", "thinking": "", "signature": "x" * 400}
            return {"role": "assistant", "content": [thought, {"type": "text", "text": "I look."}, use]}
        case "gemini-generate":
            part = {"functionCall": {"name": "read_file", "args": ARGUMENTS}, "thoughtSignature": "x" * 400}
            return {"role": "model", "parts": [part]}
        case "ollama-chat":
            return {"role": "assistant", "tool_calls": [{"function": {**function, "arguments": ARGUMENTS}}]}
        case _:
            return {"role": "assistant", "content": "I look.", "tool_calls": [call]}


def turn(row: str, n: int) -> list[AssistantMessage | ToolResults]:
    call = EchoedCall(wire_id=f"call{n:05}", name="read_file", arguments=ARGUMENTS, index=0)
    said = AssistantMessage(text="I look.", calls=(call,), native=native(PROVIDERS[row].wire, n), origin=row)
    return [said, ToolResults(results=(ResultForModel(wire_id=call.wire_id, name=call.name, text=RESULT),))]


def conversation(row: str, messages: int) -> Conversation:
    made = Conversation(system="Be brief. " * 300, messages=[UserMessage(text="do it")])
    for n in range(messages // 2):
        made.messages += turn(row, n)
    return made


def least_ms(work: Callable[[int], object], rounds: int = 9) -> float:
    times = []
    for n in range(rounds):
        start = time.perf_counter()
        work(n)
        times.append(time.perf_counter() - start)
    return min(times) * 1000


def measure(row: str, count: int) -> str:
    provider, said = PROVIDERS[row], conversation(row, count)
    options = RequestOptions(model="claude-opus-5-5" if row == "anthropic" else "m")
    make, dialect = wire(provider.wire).request, provider.dialect

    def build(whole: Conversation) -> dict[str, Any]:
        return make(whole, [], options, dialect, origin=row).body

    def next_turn(n: int) -> None:
        said.messages.extend(turn(row, 50_000 + n))
        build(said)

    anew = least_ms(lambda _: build(Conversation(system=said.system, messages=said.messages[:])), 3)
    body = build(said)
    built, once = least_ms(next_turn), least_ms(lambda _: orjson.dumps(body))
    size, times = len(orjson.dumps(body)) / 1000, (built + once) / once
    return f"{provider.wire:20} {count:8} {size:9.0f} {anew:9.2f} {built:9.3f} {once:9.3f} {times:7.1f}"


def main() -> None:
    print(f"{'wire':20} messages   size kB   anew ms  build ms   once ms   times")
    for row in ROWS:
        for count in (30, 300, 3000):
            print(measure(row, count))


if __name__ == "__main__":
    main()
