"""The floor: the least that a Python program can do for the same session. One httpx client, one loop, one shell."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import httpx

COMMAND = {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}
TOOLS = [{"type": "function", "function": {"name": "bash", "description": "run", "parameters": COMMAND}}]


def main() -> None:
    messages = [{"role": "system", "content": "You are a coding agent."}, {"role": "user", "content": sys.argv[1]}]
    with httpx.Client(timeout=60) as client:
        while True:
            body = {"model": "m", "messages": messages, "tools": TOOLS}
            url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
            response = client.post(url, json=body, headers={"authorization": "Bearer x"})
            message = response.json()["choices"][0]["message"]
            messages.append(message)
            if not message.get("tool_calls"):
                print(message["content"])
                return
            for call in message["tool_calls"]:
                command = json.loads(call["function"]["arguments"])["command"]
                done = subprocess.run(command, shell=True, capture_output=True, text=True)
                output = done.stdout + done.stderr
                messages.append({"role": "tool", "tool_call_id": call["id"], "content": output})


main()
