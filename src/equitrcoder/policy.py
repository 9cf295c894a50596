"""What may happen without asking, and which folders the user trusts.

`decide` is pure. `TrustStore` is a small file in the state directory: it remembers folders together with the sha256 of
their settings file, so that a file that changed after it was trusted is asked about again.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeAlias

from equitrcoder.errors import ConfigError
from equitrcoder.records import SandboxLevel

Mode: TypeAlias = Literal["ask", "edits", "all", "deny"]
"""`ask`: writes and commands ask; `edits`: commands ask; `all`: nothing asks; `deny`: what would ask is denied."""

Effect: TypeAlias = Literal["read", "write", "command"]
Decision: TypeAlias = Literal["allow", "ask", "deny"]

_ANSWERS: Mapping[Mode, Mapping[Effect, Decision]] = {
    "ask": {"read": "allow", "write": "ask", "command": "ask"},
    "edits": {"read": "allow", "write": "allow", "command": "ask"},
    "all": {"read": "allow", "write": "allow", "command": "allow"},
    "deny": {"read": "allow", "write": "deny", "command": "deny"},
}


def decide(mode: Mode, effect: Effect) -> Decision:
    """Whether a call goes ahead, asks, or is denied.

    Example:
        >>> decide("edits", "write"), decide("edits", "command"), decide("deny", "command")
        ('allow', 'ask', 'deny')
    """
    return _ANSWERS[mode][effect]


def default_mode(interactive: bool, sandbox: SandboxLevel) -> Mode:
    """The mode when the user chose none: `ask` in a terminal session, else `all` behind a sandbox and `edits` without.

    Args:
        interactive: Somebody is there to be asked, that is the interactive session; not `run`, not the API.
        sandbox: The level that stands.

    Source: DESIGN.md section 6.
    """
    if interactive:
        return "ask"
    return "all" if sandbox in ("bubblewrap", "landlock") else "edits"


class TrustStore:
    """Folders whose own settings count. One JSON file, `trust.json` in the state directory, 0600, replaced atomically.

    Its content: {"v": 1, "folders": {real path: sha256 in hex of the equitrcoder.yaml that was trusted}}. The file is
    not read here: whoever reads the settings says what was read, so that nothing can change in between.
    """

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / "trust.json"

    def is_trusted(self, folder: Path, sha256: str) -> bool:
        """Whether the folder was trusted with just these settings.

        A trust file that is damaged, or that somebody else could have written, trusts nothing.

        Args:
            folder: The repository.
            sha256: Of its settings file as it was read, in hex.
        """
        return bool(sha256) and self._folders().get(_name(folder)) == sha256

    def trust(self, folder: Path, sha256: str) -> None:
        """Remember the folder with its settings file as it was read.

        Raises:
            ConfigError: The state directory cannot be written.
        """
        self._save(self._folders() | {_name(folder): sha256})

    def forget(self, folder: Path) -> bool:
        """Trust the folder no longer; False when it was not known."""
        folders = self._folders()
        if folders.pop(_name(folder), None) is None:
            return False
        self._save(folders)
        return True

    def _folders(self) -> dict[str, str]:
        from equitrcoder import jsontext

        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return {}
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
                return {}
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                folders = jsontext.loads(file.read())["folders"]
        except (jsontext.InvalidJSON, KeyError, TypeError):
            return {}
        finally:
            os.close(descriptor)
        if not isinstance(folders, dict):
            return {}
        return {name: digest for name, digest in folders.items() if isinstance(digest, str)}

    def _save(self, folders: Mapping[str, str]) -> None:
        import tempfile

        from equitrcoder import jsontext

        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor, fresh = tempfile.mkstemp(prefix="trust.", suffix=".new", dir=self._path.parent)
            try:
                with os.fdopen(descriptor, "wb") as file:  # mkstemp makes it 0600
                    file.write(jsontext.dumps({"v": 1, "folders": dict(folders)}) + b"\n")
                    file.flush()
                    os.fsync(file.fileno())
                Path(fresh).replace(self._path)
            except BaseException:
                Path(fresh).unlink(missing_ok=True)
                raise
        except OSError as error:
            message = f"The trust in this folder cannot be saved in {self._path}: {error.strerror}."
            raise ConfigError(message, hint="EQUITRCODER_STATE_DIR=… names a folder of yours") from error


def _name(folder: Path) -> str:
    return os.path.realpath(folder)
