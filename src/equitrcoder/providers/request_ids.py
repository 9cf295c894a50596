"""Under which name each provider sends its id of a request."""

from __future__ import annotations

from collections.abc import Mapping

_NAMES = (
    "x-request-id",  # openai, groq, fireworks, together, huggingface and most others
    "request-id",  # anthropic
    "x-ds-trace-id",  # deepseek
    "mistral-correlation-id",
    "x-debug-trace-id",  # cohere
    "x-goog-request-id",
    "apim-request-id",  # gateways of Azure
    "x-amzn-requestid",
    "cf-ray",  # of the network before many providers
)


def request_id(headers: Mapping[str, str]) -> str | None:
    """The provider's id of a request, for a support request; None when it gave none.

    Example:
        >>> request_id({"x-request-id": "req_1"}), request_id({})
        ('req_1', None)
    """
    found = next((headers[name] for name in _NAMES if headers.get(name)), "")
    return "".join(char for char in found[:200] if char.isascii() and char.isprintable()).strip() or None
