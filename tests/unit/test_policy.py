"""What may happen without asking, and which folders are trusted."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import pytest

from equitrcoder.errors import ConfigError
from equitrcoder.policy import Decision, Effect, Mode, TrustStore, decide, default_mode
from equitrcoder.records import SandboxLevel


@pytest.mark.parametrize(
    ("mode", "read", "write", "command"),
    [
        ("ask", "allow", "ask", "ask"),
        ("edits", "allow", "allow", "ask"),
        ("all", "allow", "allow", "allow"),
        ("deny", "allow", "deny", "deny"),
    ],
)
def test_decide(mode: Mode, read: Decision, write: Decision, command: Decision) -> None:
    effects: tuple[Effect, ...] = ("read", "write", "command")
    assert [decide(mode, effect) for effect in effects] == [read, write, command]


@pytest.mark.parametrize(
    ("interactive", "sandbox", "mode"),
    [
        (True, "bubblewrap", "ask"),
        (True, "none", "ask"),
        (False, "bubblewrap", "all"),
        (False, "landlock", "all"),
        (False, "none", "edits"),
        (False, "not_applicable", "edits"),
    ],
)
def test_default_mode(interactive: bool, sandbox: SandboxLevel, mode: Mode) -> None:
    assert default_mode(interactive, sandbox) == mode


def sha256(folder: Path) -> str:
    path = folder / "equitrcoder.yaml"
    return hashlib.sha256(path.read_bytes() if path.exists() else b"?").hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> TrustStore:
    return TrustStore(tmp_path / "state")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "repo"
    folder.mkdir()
    (folder / "equitrcoder.yaml").write_text("budget: 1\n")
    return folder


def test_trust_holds_until_the_settings_file_changes(store: TrustStore, folder: Path) -> None:
    assert not store.is_trusted(folder, sha256(folder))
    store.trust(folder, sha256(folder))
    assert store.is_trusted(folder, sha256(folder))
    (folder / "equitrcoder.yaml").write_text("budget: 2\n")
    assert not store.is_trusted(folder, sha256(folder))
    store.trust(folder, sha256(folder))
    assert store.is_trusted(folder, sha256(folder))
    (folder / "equitrcoder.yaml").unlink()
    assert not store.is_trusted(folder, sha256(folder))


def test_nothing_is_trusted_without_settings_that_were_read(store: TrustStore, tmp_path: Path) -> None:
    store.trust(tmp_path, "")
    assert not store.is_trusted(tmp_path, "")


def test_folders_are_known_by_their_real_path(store: TrustStore, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    store.trust(tmp_path / "link", sha256(tmp_path / "link"))
    assert store.is_trusted(folder, sha256(folder))
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "equitrcoder.yaml").write_bytes((folder / "equitrcoder.yaml").read_bytes())
    assert not store.is_trusted(copy, sha256(copy))


def test_several_folders_and_forgetting(store: TrustStore, folder: Path, tmp_path: Path) -> None:
    store.trust(folder, sha256(folder))
    store.trust(tmp_path, sha256(tmp_path))
    assert store.is_trusted(folder, sha256(folder))
    assert store.forget(folder)
    assert not store.forget(folder)
    assert not store.is_trusted(folder, sha256(folder))
    assert store.is_trusted(tmp_path, sha256(tmp_path))


def test_the_file_is_private_and_nothing_is_left_beside_it(store: TrustStore, folder: Path, tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        store.trust(folder, sha256(folder))
        store.trust(tmp_path, sha256(tmp_path))
    finally:
        os.umask(old)
    (trust,) = (tmp_path / "state").iterdir()
    assert trust.name == "trust.json"
    assert stat.S_IMODE(trust.stat().st_mode) == 0o600
    assert stat.S_IMODE(trust.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_a_file_that_others_could_write_trusts_nothing(
    store: TrustStore, folder: Path, tmp_path: Path, mode: int
) -> None:
    store.trust(folder, sha256(folder))
    (tmp_path / "state" / "trust.json").chmod(mode)
    assert not store.is_trusted(folder, sha256(folder))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"folders": []}', '{"folders": {"x": 1}}', '{"v": 1}'])
def test_a_damaged_file_trusts_nothing_and_is_replaced(
    store: TrustStore, folder: Path, tmp_path: Path, text: str
) -> None:
    store.trust(folder, sha256(folder))
    (tmp_path / "state" / "trust.json").write_text(text)
    assert not store.is_trusted(folder, sha256(folder))
    store.trust(folder, sha256(folder))
    assert store.is_trusted(folder, sha256(folder))


def test_a_link_in_place_of_the_file_is_not_followed(store: TrustStore, folder: Path, tmp_path: Path) -> None:
    store.trust(folder, sha256(folder))
    trust = tmp_path / "state" / "trust.json"
    trust.rename(tmp_path / "elsewhere.json")
    trust.symlink_to(tmp_path / "elsewhere.json")
    assert not store.is_trusted(folder, sha256(folder))


def test_a_failed_save_leaves_the_old_file(
    store: TrustStore, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.trust(folder, sha256(folder))

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ConfigError, match=r"cannot be saved in .*: No space left on device"):
        store.trust(tmp_path, sha256(tmp_path))
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["trust.json"]
    assert store.is_trusted(folder, sha256(folder))
