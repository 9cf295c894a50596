"""The settings of a session in a repository, with trust decided."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from equitrcoder import settings
from equitrcoder.policy import TrustStore

REPOSITORY_SETTINGS = "equitrcoder.yaml"


def settings_for(
    repo: Path,
    environ: Mapping[str, str],
    flags: Mapping[str, Any],
    *,
    trust: bool = False,
    source: Literal["flag", "argument"] = "flag",
) -> settings.Settings:
    """Load the settings that hold in `repo`.

    Args:
        flags: What was given as options or arguments, by the settings' names.
        trust: Trust this folder now and later.
        source: What `flags` are called in errors and origins: the Python API says "argument".

    Raises:
        ConfigError: A file or a value is wrong: names it, its line and the fix.
    """
    repo = repo.resolve()
    repo_file = repo / REPOSITORY_SETTINGS
    has_file = repo_file.exists()
    store = TrustStore(settings.state_dir(environ))
    if trust and has_file:
        store.trust(repo)
    return settings.load(
        user_file=settings.user_config_path(environ),
        repo_file=repo_file if has_file else None,
        environ=environ,
        flags=flags,
        trusted=has_file and (trust or store.is_trusted(repo)),
        source=source,
    )
