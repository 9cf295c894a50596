"""The demo's run: the agent as it always is, only that the model's server is our own and on this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from equitrcoder.demo.model import TASK, script
from equitrcoder.demo.workspace import CHECK, INTERPRETER_FOLDERS, make_repository
from equitrcoder.settings import Settings
from equitrcoder.testing import ScriptedProvider

if TYPE_CHECKING:
    from equitrcoder.agent.result import RunResult
    from equitrcoder.agent.session import Session, SessionOptions

MODEL = "scripted-model"


def demo_settings(base_url: str) -> Settings:
    """The settings of the demo's session; nothing of the user's own counts.

    Commands need no approval: the only one is the repository's own tests.
    """
    return Settings(
        ai_provider="local",
        ai_model=f"local/{MODEL}",
        ai_base_url=base_url,
        approve="all",
        readable_paths=INTERPRETER_FOLDERS,
    )


@asynccontextmanager
async def demo_session(
    environ: Mapping[str, str], *, options: SessionOptions | None = None, folder: Path | None = None
) -> AsyncIterator[Session]:
    """A session on the demo's repository with the scripted model, ready for `session.run(TASK, check=CHECK)`.

    Args:
        environ: The environment; the ledger is the user's own (`state_dir`).
        options: What the face wants to see and be asked.
        folder: Where to make the repository, and leave it; None: a temporary folder that is removed in the end.

    Raises:
        FileExistsError: The folder holds something.
        RuntimeError: In the end, when the scripted model met something that it was not made for.
    """
    from equitrcoder.agent.session import Session

    with TemporaryDirectory(prefix="equitrcoder-demo-", ignore_cleanup_errors=True) as temporary:
        repository = make_repository(folder or Path(temporary) / "splitbill")
        async with ScriptedProvider(script(), models=[MODEL]) as provider:
            async with Session(repository, demo_settings(provider.base_url), environ, options=options) as session:
                yield session
            if provider.errors:
                raise RuntimeError(f"the demo's script is at fault: {provider.errors[0]}")


async def run_demo(
    environ: Mapping[str, str], *, options: SessionOptions | None = None, folder: Path | None = None
) -> RunResult:
    """Let the agent fix the demo's bug.

    Args:
        environ, options, folder: As for `demo_session`.

    Returns:
        The run's result; its records stand in the ledger under `run_id`.

    Raises:
        EquitrError: As any run.
    """
    async with demo_session(environ, options=options, folder=folder) as session:
        return await session.run(TASK, check=CHECK)
