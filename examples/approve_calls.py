#!/usr/bin/env python3
"""Decide about each write and command yourself, in code. Needs a key.

    python examples/approve_calls.py FOLDER "make the failing test pass"

Here: files under tests/ stay as they are, a few commands are allowed word for word, and everything else that writes is
allowed. A reason that is given is told to the model, which then goes another way.
"""

import sys

from equitrcoder import ApprovalAnswer, ApprovalRequest, SyncEquitrAPI

ALLOWED_COMMANDS = ("pytest", "pytest -q", "python -m pytest", "python -m pytest -q")
"""Whole commands: what only begins like one of them may go on with "; rm -r ."."""


def decide(request: ApprovalRequest) -> bool | ApprovalAnswer:
    """Called before every write and command; reading asks nobody. May be async, and may ask a person."""
    print(f"? {request.tool_name}: {request.subject}")
    if request.effect == "write" and request.subject.startswith("tests/"):
        return ApprovalAnswer(granted=False, reason="The tests are right. Change the code under test.", by="a rule")
    if request.effect == "command" and request.subject not in ALLOWED_COMMANDS:
        return ApprovalAnswer(granted=False, reason=f"Only these: {', '.join(ALLOWED_COMMANDS)}.", by="a rule")
    print(request.preview)  # the diff of a write, the whole command line
    return True


def main(folder: str, task: str) -> None:
    with SyncEquitrAPI(repo_path=folder, approve=decide) as api:
        print(api.chat(task))
        denied = api.calls(outcome="denied")
        print(f"\n{len(denied)} calls were denied:")
        for call in denied:
            print(f"  {call.tool_name} {call.arguments}: {call.error_message}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
