"""What could keep equitrcoder from working here, found out by looking: `equitrcoder doctor`.

`examine` runs all checks at a time; `checks_here` and `checks_network` have one function for each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from equitrcoder.doctor.finding import Finding as Finding
from equitrcoder.doctor.finding import Level as Level

CHECK_TIMEOUT_S = 8.0
"""How long one check may take; what is not done then is a warning."""

Check = Callable[[], Awaitable[list[Finding]]]


async def examine(
    repo: Path,
    environ: Mapping[str, str],
    *,
    offline: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Finding]:
    """Look at everything.

    Args:
        repo: The folder that a run would work in.
        environ: The environment.
        offline: Ask no provider.
        on_progress: Told how many checks are done, of how many.

    Returns:
        Findings in a fixed order, whatever was done first. Nothing in them holds a key.
    """
    from equitrcoder.doctor import checks_here, checks_network

    settings, found = checks_here.read_settings(repo, environ)
    checks: dict[str, Check] = checks_here.checks(repo, environ, settings)
    checks |= checks_network.checks(settings, environ, offline=offline)
    done = 0

    async def one(name: str, check: Check) -> list[Finding]:
        nonlocal done
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                return await check()
        except TimeoutError:
            return [Finding(name, "warning", f"not done after {CHECK_TIMEOUT_S:g} s")]
        except Exception as error:  # noqa: BLE001 - one check that fails must not hide what the others found
            return [Finding(name, "warning", f"could not be checked: {type(error).__name__}: {error}")]
        finally:
            done += 1
            if on_progress is not None:
                on_progress(done, len(checks))

    several = await asyncio.gather(*(one(name, check) for name, check in checks.items()))
    return checks_network.with_clock([*found, *(finding for group in several for finding in group)])
