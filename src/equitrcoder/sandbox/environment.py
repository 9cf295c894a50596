"""The environment a command gets: an allow-list, so that a key nobody thought of stays out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_ALLOWED = """
    PATH HOME USER LOGNAME LANG LANGUAGE TZ SHELL TMPDIR VIRTUAL_ENV CONDA_PREFIX CONDA_DEFAULT_ENV PYENV_ROOT
    PYENV_VERSION PYTHONPATH UV_PYTHON NVM_DIR NVM_BIN VOLTA_HOME PNPM_HOME BUN_INSTALL DENO_INSTALL CARGO_HOME
    RUSTUP_HOME RUSTUP_TOOLCHAIN GOPATH GOROOT GOFLAGS GOTOOLCHAIN JAVA_HOME MAVEN_HOME GRADLE_HOME SDKMAN_DIR
    ANDROID_HOME DOTNET_ROOT RBENV_ROOT ASDF_DIR ASDF_DATA_DIR MISE_DATA_DIR SSL_CERT_FILE SSL_CERT_DIR
    REQUESTS_CA_BUNDLE CURL_CA_BUNDLE NODE_EXTRA_CA_CERTS NO_PROXY no_proxy SOURCE_DATE_EPOCH
"""
ALLOWED = frozenset(_ALLOWED.split())
"""Variables that are handed on as they are. None of them holds a secret by its documented use."""

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
"""Handed on only without a user name or password in the address."""

FIXED = {
    "TERM": "dumb",
    "PAGER": "cat",
    "GIT_PAGER": "cat",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_EDITOR": "true",
}
"""What keeps programs from waiting for a person."""

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def clean_environment(environ: Mapping[str, str], passthrough: Sequence[str] = ()) -> dict[str, str]:
    """Make a command's environment out of the allowed variables of ours.

    Args:
        environ: Ours.
        passthrough: Names of further variables to hand on, whatever they hold.

    Example:
        >>> env = clean_environment({"PATH": "/bin", "OPENAI_API_KEY": "sk-1", "LC_ALL": "C", "MY": "1"}, ["MY"])
        >>> sorted(set(env) - set(FIXED))
        ['LC_ALL', 'MY', 'PATH']
    """
    kept = {
        name: value
        for name, value in environ.items()
        if name in ALLOWED or name.startswith("LC_") or name in passthrough
    }
    kept.update({name: environ[name] for name in PROXIES if "@" not in environ.get(name, "@")})
    kept.setdefault("PATH", DEFAULT_PATH)
    return {**FIXED, **kept}
