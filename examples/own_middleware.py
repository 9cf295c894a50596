#!/usr/bin/env python3
"""Wrap the model call: see each request and answer, wait, count, refuse. Needs a key.

    python examples/own_middleware.py FOLDER "say what this project is"

Here: one measures how much goes to the model and how long it takes, the other keeps requests half a second apart, for a
provider with a low rate limit. The first of the list is the outermost. Tool calls are recorded inside both.
"""

import asyncio
import sys
import time

from equitrcoder import EquitrAPI, ModelFunction, ModelMiddleware, ModelRequest, ModelResponse


def measured(call_next: ModelFunction) -> ModelFunction:
    """A ModelMiddleware: takes the next model function, returns another."""

    async def ask(request: ModelRequest) -> ModelResponse:
        started = time.monotonic()
        response = await call_next(request)
        usage = response.turn.usage
        print(
            f"{len(request.conversation.messages)} messages, {usage.input_tokens} tokens in, "
            f"{usage.output_tokens} out, {len(response.turn.calls)} calls, {time.monotonic() - started:.2f} s"
        )
        return response

    return ask


def spaced(pause_s: float) -> ModelMiddleware:
    """Middleware with a setting: a function that makes one."""
    last = [0.0]

    def middleware(call_next: ModelFunction) -> ModelFunction:
        async def ask(request: ModelRequest) -> ModelResponse:
            await asyncio.sleep(max(0.0, last[0] + pause_s - time.monotonic()))
            last[0] = time.monotonic()
            return await call_next(request)

        return ask

    return middleware


async def main(folder: str, task: str) -> None:
    async with EquitrAPI(repo_path=folder, middleware=[measured, spaced(0.5)]) as api:
        print(await api.chat(task))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1], sys.argv[2]))
