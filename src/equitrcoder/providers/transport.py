"""Opens the HTTP client: proxies and certificates only where they are needed, since both cost time at every start."""

from __future__ import annotations

import ssl

import httpx2

from equitrcoder.providers.addresses import is_loopback

_KEPT_S = 60.0
"""How long an idle connection is kept: tools run between two turns."""


def open_http(base_url: str) -> httpx2.AsyncClient:
    """A client for one base URL.

    Proxies of the environment (HTTPS_PROXY, NO_PROXY, …) count, but not for this machine. Certificates are read (80 ms)
    only where TLS can come into play: for https, or where an http request may go through a proxy.
    """
    local = is_loopback(base_url)
    return httpx2.AsyncClient(
        verify=_certificates(needed=base_url.startswith("https:") or not local),
        trust_env=not local,
        follow_redirects=False,
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=_KEPT_S),
    )


def _certificates(*, needed: bool) -> ssl.SSLContext:
    if needed:
        return httpx2.create_ssl_context()
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody: no certificate is loaded
