"""What a command sees of the disk: the arguments of bubblewrap that say so.

Visible, read-only: the system, toolchains of the home folder, the Python in use, and what the settings name. Writable:
the repository but for git's own settings, a private /tmp, a private home and private package caches. All else is not
there. Pure but for looking whether a path exists.

Source: DESIGN.md section 6 ("Walls"); https://man.archlinux.org/man/bwrap.1
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt", "/nix", "/gnu", "/snap")
SYSTEM_DATA = ("/var/lib/gems", "/var/lib/texmf", "/var/lib/ghc", "/home/linuxbrew/.linuxbrew")

_TOOLCHAINS = """
    .pyenv .rustup .cargo .nvm .asdf .volta .bun .deno .sdkman .rbenv .nodenv .goenv .jenv .fnm .juliaup .julia .ghcup
    .opam .nix-profile .npm-global .yarn/bin .krew/bin .dotnet .swiftly .elan .cabal/bin .stack/programs bin go
    miniconda3 anaconda3 miniforge3 mambaforge micromamba .local/bin .local/lib .local/pipx .local/share/uv/python
    .local/share/uv/tools .local/share/pipx .local/share/mise .local/share/fnm .local/share/pnpm .local/share/pypoetry
    .local/share/hatch .local/share/virtualenvs .cache/pypoetry/virtualenvs
"""
TOOLCHAINS = tuple(_TOOLCHAINS.split())
"""In the home folder. Of ~/.local only these parts: keyrings, credentials and the ledger itself live beside them."""

_TOOLCHAIN_VARIABLES = """
    VIRTUAL_ENV CONDA_PREFIX PYENV_ROOT NVM_DIR VOLTA_HOME PNPM_HOME BUN_INSTALL CARGO_HOME RUSTUP_HOME GOPATH GOROOT
    JAVA_HOME MAVEN_HOME GRADLE_HOME SDKMAN_DIR ANDROID_HOME DOTNET_ROOT RBENV_ROOT ASDF_DIR ASDF_DATA_DIR MISE_DATA_DIR
"""
TOOLCHAIN_VARIABLES = tuple(_TOOLCHAIN_VARIABLES.split())

SECRET_FILES = (
    "/etc/shadow",
    "/etc/shadow-",
    "/etc/gshadow",
    "/etc/gshadow-",
    "/etc/sudoers",
    "/etc/ssh/ssh_host_rsa_key",
    "/etc/ssh/ssh_host_ecdsa_key",
    "/etc/ssh/ssh_host_ed25519_key",
)
_HOME_SECRETS = """
    .ssh .gnupg .aws .azure .kube .docker .config .password-store .mozilla .netrc .npmrc .pypirc .git-credentials
    .local/share/keyrings .cargo/credentials .cargo/credentials.toml .local/share/uv/credentials
"""
HOME_SECRETS = tuple(_HOME_SECRETS.split())
"""Hidden wherever something larger (a toolchain, or a repository around the home folder) would show them."""


class Places:
    """The folders of one sandbox.

    Attributes:
        repo: The repository, resolved.
        home: The user's home, resolved.
        private: Ours for this session: holds `tmp`, `home` and an empty file.
        caches: Ours for this repository: package caches.
    """

    __slots__ = ("caches", "home", "private", "repo")

    def __init__(self, *, repo: Path, home: Path, private: Path, caches: Path) -> None:
        self.repo = repo
        self.home = home
        self.private = private
        self.caches = caches

    @property
    def empty(self) -> Path:
        """An empty file, shown in place of one that is hidden."""
        return self.private / "empty"


class View:
    """What commands of one sandbox see: the lasting part is looked up once, git's and ours before each command."""

    def __init__(
        self,
        places: Places,
        *,
        environ: Mapping[str, str],
        readable: Sequence[str],
        hidden: Sequence[Path],
        network: bool,
        shared_memory_bytes: int | None = None,
    ) -> None:
        size = [] if shared_memory_bytes is None else ["--size", str(shared_memory_bytes)]
        shown = list(_readable(places, environ, readable))
        secrets = [*map(Path, SECRET_FILES), *(places.home / name for name in HOME_SECRETS)]
        private = str(places.private)
        self._places = places
        self._hidden = tuple(hidden)
        self._visible = (*SYSTEM, *shown, str(places.repo))
        self._lasting = [
            *_system(),
            *["--proc", "/proc", *_fixed_kernel_settings()],
            *["--dev", "/dev", "--remount-ro", "/dev", *size, "--tmpfs", "/dev/shm"],  # noqa: S108
            *["--tmpfs", "/run", "--remount-ro", "/run"],
            *["--bind", f"{private}/tmp", "/tmp", "--bind", f"{private}/tmp", "/var/tmp"],  # noqa: S108
            *["--bind", f"{private}/home", str(places.home)],
            *[word for path in shown for word in ("--ro-bind", path, path)],
            *_resolver(network),
            *["--bind", str(places.caches), str(places.caches)],
            *["--bind", str(places.repo), str(places.repo)],
            *self._cover(secrets),
        ]

    def arguments(self) -> list[str]:
        """The arguments of bubblewrap, in the order in which they must stand: later ones lie on top."""
        repo = self._places.repo
        return [
            *self._lasting,
            *git_walls(repo),
            *self._cover(self._hidden),
            *["--remount-ro", "/", "--chdir", str(repo)],
        ]

    def _cover(self, paths: Iterable[Path]) -> Iterable[str]:
        """Hide what would be visible: a folder behind an empty one, a file behind an empty one."""
        for path in paths:
            real = os.path.realpath(path)
            if not any(_within(real, folder) for folder in self._visible):
                continue
            if os.path.isdir(real):  # noqa: PTH112
                yield from ("--tmpfs", real, "--remount-ro", real)
            elif os.access(real, os.R_OK):
                yield from ("--ro-bind", str(self._places.empty), real)


def _system() -> Iterable[str]:
    for path in SYSTEM:
        if os.path.islink(path):  # noqa: PTH114  (strings all the way: this runs before the first command)
            yield from ("--symlink", os.readlink(path), path)  # noqa: PTH115
        elif os.path.isdir(path):  # noqa: PTH112
            yield from ("--ro-bind", path, path)
    for path in SYSTEM_DATA:
        if os.path.isdir(path):  # noqa: PTH112
            yield from ("--ro-bind", path, path)


def _fixed_kernel_settings() -> Iterable[str]:
    """To root some of /proc is writable for real: the settings of the running kernel, of all the machine.

    bwrap covers what it finds writable itself, which these folders are not, though files in them are.
    """
    for name in ("sys", "acpi", "scsi", "fs/nfsd", "fs/cifs"):
        if os.path.exists(f"/proc/{name}"):  # noqa: PTH110
            yield from ("--ro-bind", f"/proc/{name}", f"/proc/{name}")


def _resolver(network: bool) -> list[str]:
    """With a network: the name server file, where /etc only links to it (it lies in /run, which is hidden)."""
    target = os.path.realpath("/etc/resolv.conf")
    if network and target != "/etc/resolv.conf" and os.path.isfile(target):  # noqa: PTH113
        return ["--ro-bind", target, target]
    return []


def _readable(places: Places, environ: Mapping[str, str], readable: Sequence[str]) -> Iterable[str]:
    """Existing places outside the system to show read-only, each once, none inside another."""
    home = str(places.home)
    found = [f"{home}/{name}" for name in TOOLCHAINS]
    found += [environ.get(name, "") for name in TOOLCHAIN_VARIABLES]
    found += [sys.prefix, sys.base_prefix, *environ.get("PATH", "").split(":")]
    named = {os.path.realpath(home + name[1:] if name[:2] in ("~", "~/") else name) for name in readable}
    wanted = {os.path.realpath(path) for path in found if path.startswith("/")}
    wanted = {path for path in wanted if path.count("/") > 1 and not _within(home, path)}
    kept: list[str] = []
    for path in sorted((wanted | named) - {"/"}, key=len):
        if os.path.exists(path) and not any(_within(path, other) for other in (*SYSTEM, *kept)):  # noqa: PTH110
            kept.append(path)
    return kept


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def git_walls(repo: Path) -> list[str]:
    """Keep git's settings and hooks as they are: what they name runs as the user, outside the sandbox.

    `.git` becomes a mount of its own, so that it cannot be renamed away and made anew.
    """
    git = f"{repo}/.git"
    try:
        kind = stat.S_IFMT(os.lstat(git).st_mode)
    except OSError:
        return []
    if kind == stat.S_IFDIR:
        return ["--bind", git, git, *_fixed_parts(git)]
    if kind == stat.S_IFLNK:
        return []
    common = worktree_common_dir(Path(git))
    if common is None:
        return ["--ro-bind", git, git]
    return ["--ro-bind", git, git, "--bind", str(common), str(common), *_fixed_parts(str(common))]


def _fixed_parts(git: str) -> Iterable[str]:
    hooks = f"{git}/hooks"
    if os.path.isdir(hooks):  # noqa: PTH112
        yield from ("--ro-bind", hooks, hooks)
    else:
        yield from ("--tmpfs", hooks, "--remount-ro", hooks)
    for name in ("config", "config.worktree", "modules", "commondir"):
        if os.path.exists(f"{git}/{name}"):  # noqa: PTH110
            yield from ("--ro-bind", f"{git}/{name}", f"{git}/{name}")


def worktree_common_dir(git_file: Path) -> Path | None:
    """The shared git folder of a linked worktree, None when `git_file` belongs to none.

    The file lies in the repository and could name any folder, so the folder must name the file back.

    Source: https://git-scm.com/docs/gitrepository-layout ("worktrees/<id>/gitdir")
    """
    try:
        text = git_file.read_text("utf-8")[:4096]
        if not text.startswith("gitdir: "):
            return None
        folder = (git_file.parent / text[8:].strip()).resolve()
        back = (folder / (folder / "gitdir").read_text("utf-8").strip()).resolve()
        common = (folder / (folder / "commondir").read_text("utf-8").strip()).resolve()
    except (OSError, UnicodeDecodeError):
        return None
    if back != git_file.resolve() or folder.parent != common / "worktrees" or not (common / "HEAD").is_file():
        return None
    return common
