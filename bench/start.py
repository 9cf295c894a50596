"""Start of the interactive session: from the process's start to the prompt with its status line, on a pseudo terminal.

    python -m bench.start [--rounds 25]

The floor is `python -c "import click, rich, prompt_toolkit"`, from start to exit, run right before in every round (a
busy machine slows both alike). Printed are medians and the median of the ratios within rounds; more than 1.3 ends with
exit code 1. Byte code is compiled before.
"""

from __future__ import annotations

import argparse
import os
import pty
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

AT_MOST = 1.3
FLOOR = [sys.executable, "-c", "import click, rich, prompt_toolkit"]
SESSION = [str(Path(sys.executable).parent / "equitrcoder"), "--model", "openai/gpt-6.1-sol"]
PROMPT = b"\x1b[0m>"
STATUS_LINE = b"context "


def floor_s(environ: Mapping[str, str]) -> float:
    """Seconds that the imports alone take."""
    started = time.perf_counter()
    subprocess.run(FLOOR, check=True, env=environ)
    return time.perf_counter() - started


def prompt_s(environ: Mapping[str, str], folder: str) -> float:
    """Seconds until the prompt and its status line are on the screen."""
    screen, end = pty.openpty()
    started = time.perf_counter()
    process = subprocess.Popen(
        SESSION, cwd=folder, env=environ, stdin=end, stdout=end, stderr=end, start_new_session=True
    )
    os.close(end)
    shown = b""
    while PROMPT not in shown or STATUS_LINE not in shown:
        shown += os.read(screen, 65_536)
    took = time.perf_counter() - started
    os.write(screen, b"/quit\n")
    while _more(screen):
        pass
    os.close(screen)
    if process.wait(30) != 0:
        raise SystemExit(f"the session ended with {process.returncode}: {shown!r}")
    return took


def _more(screen: int) -> bytes:
    try:
        return os.read(screen, 65_536)
    except OSError:  # the other end is closed
        return b""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=25)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": folder,
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
            "EQUITRCODER_STATE_DIR": f"{folder}/state",
            "OPENAI_API_KEY": "sk-nobody-is-asked",
            "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
        }
        floor_s(environ), prompt_s(environ, folder)  # byte code
        pairs = [(floor_s(environ), prompt_s(environ, folder)) for _ in range(rounds)]
    floor, prompt = (statistics.median(pair[n] for pair in pairs) for n in (0, 1))
    ratio = statistics.median(prompt / floor for floor, prompt in pairs)
    print(f"import click, rich, prompt_toolkit   {floor * 1000:6.0f} ms")
    print(f"equitrcoder, to the prompt           {prompt * 1000:6.0f} ms   {ratio:.2f}x   at most {AT_MOST}x")
    return int(ratio > AT_MOST)


if __name__ == "__main__":
    raise SystemExit(main())
