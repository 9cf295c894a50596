"""Results that are too large for a journal: size and hash of the whole as redacted, and, if wished, a file with it.

What a tool prints comes piece by piece and is never in memory as a whole. A tool keeps its head and tail for the model;
what passes goes through here. With the setting `spill_results` it is written as it passes,
secrets taken out before the first byte, to a file named by the hash of what is in it:

    blobs/<run id>/<sha256>

The end of the call names it (`result_metadata.spilled`); it goes when its run is pruned or deleted. A file
`unfinished-…` is what there is of a command that a kill interrupted.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equitrcoder.ledger import files
from equitrcoder.ledger.redaction_blocks import BlockRedactor

if TYPE_CHECKING:
    from equitrcoder.ledger.redaction import Redactor
    from equitrcoder.records import JSON

FOLDER = "blobs"
_RUN_ID = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Spills:
    """The files of large results in one state directory. Thread-safe.

    Args:
        limit_bytes: Most bytes of one result.
        total_bytes: Most bytes of all of them; what does not fit is not written.
        tell: Hears of trouble: (kind, one line).
    """

    def __init__(
        self, state_dir: Path, *, limit_bytes: int, total_bytes: int, tell: Callable[[str, str], None]
    ) -> None:
        self.state_dir = state_dir
        self._limit_bytes = limit_bytes
        self._total_bytes = total_bytes
        self._tell = tell
        self._guard = threading.Lock()
        self._used_bytes: int | None = None

    def open(self, run_id: str) -> _File | None:
        """A file for a result of a run; None when there is no room, and somebody was told."""
        with self._guard:
            if self._used_bytes is None:
                self._used_bytes = size_of(self.state_dir / FOLDER)
            room = min(self._limit_bytes, self._total_bytes - self._used_bytes)
        folder = self.state_dir / FOLDER / run_id
        if room <= 0:
            full = f"{self.state_dir / FOLDER} holds spill_total_bytes ({self._total_bytes:,}): large results are cut."
            self._tell("spill_full", f"{full} Fix: equitrcoder db prune, or a larger limit.")
            return None
        try:
            return _File(folder, room, self._trouble)
        except OSError as error:
            self._trouble(folder, error)
            return None

    def used(self, size: int) -> None:
        """Count a file that stays."""
        with self._guard:
            self._used_bytes = (self._used_bytes or 0) + size

    def _trouble(self, path: Path, error: OSError) -> None:
        reason = (error.strerror or str(error)).lower()
        self._tell("spill_write", f"Cannot write {path} ({reason}); the run goes on, its large results are cut.")


class _File:
    """One result on its way to the disk. Raises OSError when it cannot be made."""

    def __init__(self, folder: Path, limit_bytes: int, trouble: Callable[[Path, OSError], None]) -> None:
        files.make_private_folder(folder)
        self._path = folder / f"unfinished-{os.urandom(8).hex()}"
        self._fd = files.open_to_append(self._path, new=True)
        self.trouble = trouble
        self.room = limit_bytes

    def write(self, data: bytes) -> bool:
        """Write some bytes; False when that failed, and then nothing is left of it."""
        try:
            files.append_whole(self._fd, data)
        except OSError as error:
            self.trouble(self._path, error)
            self.discard()
            return False
        self.room -= len(data)
        return True

    def finish(self, sha256: str) -> None:
        """Give it its name. Raises OSError."""
        self._close()
        self._path.rename(self._path.with_name(sha256))

    def discard(self) -> None:
        """Remove it."""
        self._close()
        with contextlib.suppress(OSError):
            self._path.unlink()

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class Whole:
    """A large result as it passes: counted, hashed and perhaps written, secrets taken out first."""

    def __init__(self, redactor: Redactor, file: _File | None) -> None:
        self._blocks = BlockRedactor(redactor)
        self._hash = hashlib.sha256()
        self._file = file
        self._in_file: Any = None  # hash and size of what is in the file, once that is not all
        self._ended = False
        self.bytes = 0

    def feed(self, data: bytes) -> None:
        """Take the next bytes. Never raises for what a disk does."""
        self._take(self._blocks.feed(data))

    def _take(self, data: bytes) -> None:
        if not data:
            return
        self.bytes += len(data)
        if self._file is None or self._in_file is not None:
            self._hash.update(data)
            return
        fits = data[: self._file.room]
        self._hash.update(fits)
        if not self._file.write(fits):
            self._file = None
        elif len(fits) < len(data):
            self._in_file = (self._hash.copy(), self.bytes - len(data) + len(fits))
        self._hash.update(data[len(fits) :])

    def end(self) -> None:
        """No more comes."""
        if not self._ended:
            self._ended = True
            self._take(self._blocks.flush())

    @property
    def sha256(self) -> str:
        """Of all of it as redacted, hex; ends it."""
        self.end()
        return self._hash.hexdigest()

    def keep(self, spills: Spills | None) -> dict[str, JSON] | None:
        """Give the file its name; what the record says of it, None when there is none."""
        self.end()
        file, self._file = self._file, None
        if file is None or spills is None:
            return None
        digest, size = self._in_file or (self._hash, self.bytes)
        try:
            file.finish(digest.hexdigest())
        except OSError as error:
            file.trouble(spills.state_dir / FOLDER, error)
            file.discard()
            return None
        spills.used(size)
        return {"sha256": digest.hexdigest(), "bytes": size, "complete": self._in_file is None}

    def discard(self) -> None:
        """Keep no file of it."""
        file, self._file = self._file, None
        if file is not None:
            file.discard()


class LargeResult:
    """What of one call's result is too large, if anything.

    While the tool runs, `sandbox.output.cut_outputs_to` gives `open` what it cuts. What was not kept goes at the end.
    """

    def __init__(self, redactor: Redactor, spills: Spills | None, run_id: str) -> None:
        self._redactor, self._spills, self._run_id = redactor, spills, run_id
        self._wholes: list[Whole] = []

    def open(self, *, to_file: bool = True) -> Whole:
        """Begin with a result. `to_file` False: it stands on the disk already."""
        file = self._spills.open(self._run_id) if self._spills is not None and to_file else None
        whole = Whole(self._redactor, file)
        self._wholes.append(whole)
        return whole

    def settle(self, full_bytes: int | None) -> tuple[int, str, dict[str, JSON] | None] | None:
        """Of a result that its tool cut: size and SHA-256 of the whole as redacted, and what stands in a file.

        None when it was not cut, or was made of several such outputs: then nobody knows which it is.
        """
        if full_bytes is None or len(self._wholes) != 1:
            return None
        whole = self._wholes[0]
        spilled = whole.keep(self._spills)
        return whole.bytes, whole.sha256, spilled

    def __enter__(self) -> LargeResult:
        return self

    def __exit__(self, *_: object) -> None:
        for whole in self._wholes:
            whole.discard()


def path_of(state_dir: Path, run_id: str, sha256: object) -> Path | None:
    """Where a spilled result stands; None when this names none."""
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256) or not _RUN_ID.fullmatch(run_id):
        return None
    return state_dir / FOLDER / run_id / sha256


def trouble_with(state_dir: Path, run_id: str, spilled: object) -> str | None:
    """What is wrong with the file that a record names; None when it is as it was written."""
    told = spilled if isinstance(spilled, dict) else {}
    path = path_of(state_dir, run_id, told.get("sha256"))
    if path is None:
        return "it names no file"
    try:
        with os.fdopen(files.open_to_read(path), "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.tell()
    except OSError as error:
        return f"its file cannot be read: {(error.strerror or str(error)).lower()}"
    return None if found == told["sha256"] and size == told.get("bytes") else "its file was changed"


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder; 0 when there is none."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            total += path.lstat().st_size if not path.is_dir() else 0
    return total


def remove(state_dir: Path, run_id: str) -> None:
    """Remove the files of a run."""
    folder = state_dir / FOLDER / run_id
    if _RUN_ID.fullmatch(run_id) and folder.is_dir() and not folder.is_symlink():
        import shutil  # not on the way of a run

        shutil.rmtree(folder, ignore_errors=True)
