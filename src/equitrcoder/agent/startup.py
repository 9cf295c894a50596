"""The settings of a session in a repository, with trust decided."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
    trust: bool | str = False,
    source: Literal["flag", "argument"] = "flag",
    on_trust: Callable[[str, bool], None] | None = None,
) -> settings.Settings:
    """Load the settings that hold in `repo`.

    Args:
        flags: What was given as options or arguments, by the settings' names.
        trust: Trust this folder now and later. A text: only if its settings file has this sha256, because that is the
            one that somebody was asked about.
        source: What `flags` are called in errors and origins: the Python API says "argument".
        on_trust: Told the sha256 of the folder's settings file and whether it is trusted; not called without one.

    Raises:
        ConfigError: A file or a value is wrong: names it, its line and the fix.
    """
    repo = repo.resolve()
    store = TrustStore(settings.state_dir(environ))

    def is_trusted(sha256: str) -> bool:
        """Decided on the very bytes whose settings are taken."""
        now = trust == sha256 if isinstance(trust, str) else trust
        if now:
            store.trust(repo, sha256)
        trusted = now or store.is_trusted(repo, sha256)
        if on_trust is not None:
            on_trust(sha256, trusted)
        return trusted

    return settings.load(
        user_file=settings.user_config_path(environ),
        repo_file=settings.repo_config_path(repo),
        environ=environ,
        flags=flags,
        trusted=is_trusted,
        source=source,
    )
