"""Which hosts commands may reach: the list in the settings, and what it means. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

_PACKAGE_INDEXES = """
    pypi.org files.pythonhosted.org registry.npmjs.org registry.yarnpkg.com crates.io static.crates.io index.crates.io
    static.rust-lang.org proxy.golang.org sum.golang.org rubygems.org index.rubygems.org repo.maven.apache.org
    repo1.maven.org plugins.gradle.org services.gradle.org api.nuget.org packagist.org repo.packagist.org hex.pm
    repo.hex.pm builds.hex.pm conda.anaconda.org repo.anaconda.com hackage.haskell.org pub.dev jsr.io npm.jsr.io
"""
PRESETS = {"package-indexes": tuple(_PACKAGE_INDEXES.split())}
"""Names that stand for several hosts: where package managers get packages from by default."""

PORT = 61080
"""Where our proxy listens inside; above the ports that the kernel gives out."""

_USUAL_PORTS = (80, 443)
_SPECIAL = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))
"""Addresses of version 6 that reach one of version 4, which may be private."""


class Hosts:
    """A list of hosts.

    Args:
        names: Each a host (`pypi.org`: ports 80 and 443), all hosts below one (`*.example.org`), either with a port
            (`example.org:8080`: that port only), an address (`[::1]:80`, `10.0.0.5`), or the name of a preset.

    Example:
        >>> hosts = Hosts(["package-indexes", "*.example.org", "localhost:8080"])
        >>> [hosts.allows(*place) for place in [("pypi.org", 443), ("a.example.org", 80), ("localhost", 8080)]]
        [True, True, True]
        >>> [hosts.allows(*place) for place in [("pypi.org", 22), ("example.org", 80), ("localhost", 80)]]
        [False, False, False]
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._allowed: set[tuple[str, int]] = set()
        for name in names:
            for one in PRESETS.get(name, (name,)):
                host, port = split_port(one.lower())
                self._allowed.update((host, chosen) for chosen in ((port,) if port else _USUAL_PORTS))

    def allows(self, host: str, port: int) -> bool:
        """Whether the list names it."""
        host = host.lower().rstrip(".")
        parts = host.split(".")
        above = ("*." + ".".join(parts[k:]) for k in range(1, len(parts)))
        return any((name, port) in self._allowed for name in (host, *above))

    def allows_address(self, host: str, port: int, address: str) -> bool:
        """Whether what an allowed host turned out to be may be reached: a public address, or one that is named.

        A host of somebody else's can have any address, also one inside this machine or its network.

        Example:
            >>> hosts = Hosts(["example.org", "10.0.0.5", "localhost"])
            >>> [hosts.allows_address("example.org", 443, found) for found in ("1.1.1.1", "169.254.0.1", "10.0.0.5")]
            [True, False, True]
            >>> hosts.allows_address("localhost", 80, "127.0.0.1"), hosts.allows_address("localhost", 80, "10.0.0.6")
            (True, False)
        """
        try:
            found = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        if (str(found), port) in self._allowed:
            return True
        if host.lower().rstrip(".") == "localhost" and found.is_loopback:
            return True
        return _is_public(found)


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether it is one of the open internet.

    Example:
        >>> private = "::ffff:10.0.0.1 64:ff9b::a00:1 2002:a00:1:: 100.64.0.1 169.254.169.254 224.0.0.1 ::1 fe80::1"
        >>> [_is_public(ipaddress.ip_address(text)) for text in ("1.1.1.1", "2606:4700::1111", *private.split())]
        [True, True, False, False, False, False, False, False, False, False]
    """
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return _is_public(address.ipv4_mapped)
        if address.sixtofour is not None or address.teredo is not None or any(address in net for net in _SPECIAL):
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def split_port(text: str) -> tuple[str, int]:
    """Host and port of `host:port`; port 0 where none is given, and where it is no number.

    Example:
        >>> split_port("[::1]:80"), split_port("pypi.org"), split_port("a:443"), split_port("a:x")
        (('::1', 80), ('pypi.org', 0), ('a', 443), ('a', 0))
    """
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, ""
    return host.strip("[]"), int(port) if port.isascii() and port.isdigit() and len(port) < 6 else 0


def proxy_environment() -> dict[str, str]:
    """What programs inside need to find our proxy."""
    address = f"http://127.0.0.1:{PORT}"
    names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
    here = "localhost,127.0.0.1,::1"
    return dict.fromkeys(names, address) | {"NO_PROXY": here, "no_proxy": here}
