"""The programs that a task needs work inside, within the limits as they are by default."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from equitrcoder.sandbox.bubblewrap import BubblewrapSandbox
from equitrcoder.sandbox.probing import trouble_with_bubblewrap

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="bubblewrap is for Linux")

COMMANDS = {
    "gcc": "printf '#include <stdio.h>\\nint main(){puts(\"built\");}' > a.c && gcc -fsanitize=address a.c -o a && ./a",
    "make": "printf 'all: b\\nb: ; @echo built > b; cat b\\n' > Makefile && make -s -j4",
    "pytest": (
        f"printf 'def test_it(tmp_path):\\n    assert 1\\n' > test_it.py && {sys.executable} -m pytest -q test_it.py "
        "-p no:cacheprovider -c /dev/null --rootdir . >/dev/null && echo built"
    ),
    "git": "echo x > x && git add x && git commit -qm built && git log --format=%s",
    "node": (
        'node -e \'const {Worker} = require("worker_threads"); '
        'new Worker("1", {eval: true}).on("exit", () => console.log("built"))\''
    ),
    "npm": 'echo \'{"name":"p","version":"1.0.0"}\' > package.json && npm pack --silent | sed s/p-1.0.0.tgz/built/',
    "cargo": (
        "cargo init -q --name c c && cd c && cargo build -q --offline && ./target/debug/c | sed 's/Hello.*/built/'"
    ),
    "java": "java -version 2>/dev/null && echo built",
    "python3": (
        f"{sys.executable} -c 'import concurrent.futures as f\n"
        'with f.ProcessPoolExecutor(4) as pool: print("built" if sum(pool.map(abs, range(9))) == 36 else "")\''
    ),
}


@pytest.fixture
async def warm(tmp_path: Path) -> AsyncIterator[BubblewrapSandbox]:
    repo = tmp_path / "repo"
    repo.mkdir()
    trouble = trouble_with_bubblewrap(repo, os.environ)
    if trouble:
        pytest.skip(f"skipped: no bubblewrap ({trouble})")
    subprocess.run(["git", "init", "-q", str(repo)], check=True)
    toolchains = Path(pwd.getpwuid(os.getuid()).pw_dir) / ".rustup"  # HOME is that of the tests
    environ = dict(os.environ) | ({"RUSTUP_HOME": str(toolchains)} if toolchains.exists() else {})
    sandbox = BubblewrapSandbox(repo, environ=environ)
    assert await sandbox.warm_up()
    yield sandbox
    await sandbox.aclose()


@pytest.mark.parametrize("program", COMMANDS)
async def test_it_works_inside(warm: BubblewrapSandbox, program: str) -> None:
    if program != "pytest" and shutil.which(program) is None:
        pytest.skip(f"no {program} here")
    result = await warm.run(COMMANDS[program], timeout_s=120, output_limit_bytes=10_000)
    assert result.output.endswith(b"built\n"), result
    assert result.exit_code == 0
