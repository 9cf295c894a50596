"""Where settings and the ledger live: the XDG rules, and nothing is created."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def home_dir(environ: Mapping[str, str]) -> Path:
    """$HOME when it is absolute, else the account's."""
    home = environ.get("HOME", "")
    return Path(home) if home.startswith("/") else Path.home()


def _base(environ: Mapping[str, str], variable: str, fallback: str) -> Path:
    """A base folder of the XDG specification: a relative path there counts as not set.

    Source: https://specifications.freedesktop.org/basedir-spec/latest/
    """
    value = environ.get(variable, "")
    return Path(value) if Path(value).is_absolute() else home_dir(environ) / fallback


def user_config_path(environ: Mapping[str, str]) -> Path:
    """The user's settings file, whether it is there or not.

    Example:
        >>> user_config_path({"HOME": "/home/ada"}).as_posix()
        '/home/ada/.config/equitrcoder/config.yaml'
    """
    return _base(environ, "XDG_CONFIG_HOME", ".config") / "equitrcoder" / "config.yaml"


def repo_config_path(repo: Path) -> Path:
    """A repository's settings file, whether it is there or not."""
    return repo / "equitrcoder.yaml"


def state_dir(environ: Mapping[str, str]) -> Path:
    """The folder of journals, index and trust; absolute, not created.

    Example:
        >>> state_dir({"HOME": "/home/ada"}).as_posix()
        '/home/ada/.local/state/equitrcoder'
    """
    own = environ.get("EQUITRCODER_STATE_DIR", "")
    if own:
        expanded = str(home_dir(environ)) + own[1:] if own == "~" or own.startswith("~/") else own
        return Path(os.path.abspath(expanded))  # noqa: PTH100  (resolve() would follow links; absolute() keeps "..")
    return _base(environ, "XDG_STATE_HOME", ".local/state") / "equitrcoder"
