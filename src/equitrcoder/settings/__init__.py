"""Settings: one object, one merge, and for each value where it came from.

defaults < user file < the repository's equitrcoder.yaml < environment < flags and arguments. Nothing else in the
package reads settings files or `EQUITRCODER_…` variables; a repository's `.env` is never read. Docs: docs/settings.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from equitrcoder.settings.kinds import Layer
from equitrcoder.settings.layers import environment_layer, given_layer
from equitrcoder.settings.merge import merge
from equitrcoder.settings.model import FIELDS, Approve, Durability, SandboxSetting, Settings
from equitrcoder.settings.paths import home_dir, repo_config_path, state_dir, user_config_path

__all__ = [
    "FIELDS",
    "Approve",
    "Durability",
    "SandboxSetting",
    "Settings",
    "load",
    "repo_config_path",
    "show_rows",
    "state_dir",
    "user_config_path",
]


def load(
    *,
    user_file: Path | None,
    repo_file: Path | None,
    environ: Mapping[str, str],
    flags: Mapping[str, Any],
    trusted: bool | Callable[[str], bool],
    source: Literal["flag", "argument"] = "flag",
) -> Settings:
    """Read the files that are there, then merge all layers.

    Args:
        user_file: `user_config_path(environ)`, or None for none.
        repo_file: `repo_config_path(repo)`, or None for none.
        environ: The environment; only `EQUITRCODER_…` and HOME are looked at.
        flags: Values by key (`supervisor_model`, not `orchestrator.supervisor_model`); None means not given.
        trusted: Whether the user trusted the repository's folder (`policy.TrustStore`); else its file can only tighten.
            A function is given the sha256 of the file as it was read, once, and only when there is one.
        source: What origins call `flags`: the Python API says "argument".

    Returns:
        The settings. `warnings` holds what to tell the user once; empty when there is nothing.

    Raises:
        ConfigError: E110 with file and line (or the variable's or flag's name) and what was expected.

    Example:
        >>> environ = {"EQUITRCODER_BUDGET": "2"}
        >>> settings = load(user_file=None, repo_file=None, environ=environ, flags={}, trusted=False)
        >>> settings.budget, settings.origins["budget"]
        (2.0, 'environment EQUITRCODER_BUDGET')
    """
    environment, warnings = environment_layer(environ)
    user, _ = _read(user_file, repository=False)
    repository, sha256 = _read(repo_file, repository=True)
    if callable(trusted):
        trusted = bool(sha256) and trusted(sha256)
    return merge(
        user=user,
        repository=repository,
        environment=environment,
        given=given_layer(flags, source=source),
        trusted=trusted,
        home=str(home_dir(environ)),
        warnings=warnings,
    )


def _read(path: Path | None, *, repository: bool) -> tuple[Layer, str]:
    """The layer of a file, and the sha256 of what was read; "" when there is no file."""
    if path is None or not _is_there(path):
        return {}, ""
    from equitrcoder.settings.documents import file_layer  # they bring yaml: only when there is a file
    from equitrcoder.settings.files import read_file

    document = read_file(path, path.name if repository else str(path), follow_links=not repository)
    if document is None:
        return {}, ""
    kind = "repository file" if repository else "user file"
    return file_layer(document, kind, repository=repository), document.sha256


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True  # the reader says what is wrong with it
    return True


def __getattr__(name: str) -> Any:
    if name == "show_rows":
        from equitrcoder.settings.show import show_rows

        return show_rows
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
