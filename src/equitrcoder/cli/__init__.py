"""The commands. A command parses, calls one function below, and prints."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> None:
    """Run the command `equitrcoder` with the arguments of this process, and exit."""
    _refuse_windows()
    _leave_out_this_folder()
    from equitrcoder.cli.app import run_app

    _leave(run_app(sys.argv[1:]))


def main_simple() -> None:
    """Run the command `equitrcoder-simple` with the arguments of this process, and exit."""
    _refuse_windows()
    _leave_out_this_folder()
    from equitrcoder.cli.app import run_app
    from equitrcoder.cli.simple import command

    _leave(run_app(sys.argv[1:], command))


def _leave(code: int) -> NoReturn:
    """Exit; a terminal or a pipe that has gone does not change the code."""
    import os

    for stream in (sys.stdout, sys.stderr):
        try:
            if not stream.closed:
                stream.flush()
        except OSError:  # what it still holds goes nowhere; else the interpreter fails on it
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, stream.fileno())
            os.close(nothing)
    raise SystemExit(code)


def _leave_out_this_folder() -> None:
    """Import nothing from the current folder, whatever PYTHONPATH says: its yaml.py is not ours."""
    import os

    try:
        here = os.path.realpath(os.getcwd())  # noqa: PTH109  (pathlib is not loaded yet)
    except OSError:
        return
    ours = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))  # noqa: PTH120
    sys.path[:] = [folder for folder in sys.path if folder and (os.path.realpath(folder) != here or here == ours)]


def _refuse_windows() -> None:
    if sys.platform == "win32":
        sys.stderr.write(
            "E130 equitrcoder does not run natively on Windows. Fix: run it inside WSL2 "
            "(wsl --install), where it is the same as on Linux\n"
        )
        raise SystemExit(3)
