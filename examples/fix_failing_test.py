#!/usr/bin/env python3
"""Let an agent fix a failing test, and believe the test rather than the agent. Needs a key.

    python examples/fix_failing_test.py FOLDER "pytest -q"

Exit code 0: the command passes now. 1: it does not, or the agent gave up.
"""

import sys

from equitrcoder import EquitrError, SyncEquitrAPI


def main(folder: str, check: str) -> int:
    try:
        with SyncEquitrAPI(repo_path=folder, check=check, max_turns=30, max_time_s=600) as api:
            result = api.chat(f"`{check}` fails. Find out why and fix the code, not the test.")
    except EquitrError as error:  # no key, budget or limit reached, provider silent: the message says what to do
        print(error)
        return 1
    print(result)
    print(f"{result.status} after {result.steps_taken} turns and {result.calls} calls, {result.failed_calls} failed")
    if result.check is not None and not result.check.passed:
        print(f"{check} still says:\n{result.check.output}")
    return 0 if result.status == "completed" else 1


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], sys.argv[2]))
