"""Replicate's predictions: a prompt in, a text out. There are no tool calls here.

The interface documents no tool protocol, so none is offered, and text that looks like a call is text. What is read and
sent: docs/wires.md.

Source: https://replicate.com/docs/reference/http
"""

from __future__ import annotations

from collections.abc import Mapping

from equitrcoder.errors import ProviderError
from equitrcoder.wires.replicate_predictions.requests import request
from equitrcoder.wires.replicate_predictions.stream import PredictionStreamReader
from equitrcoder.wires.values import Turn

__all__ = ["error", "read_response", "request", "stream_reader"]


def read_response(body: bytes, *, status: int = 200) -> Turn:
    """Read a prediction that has come to its end.

    Raises:
        ProviderError: It failed or was canceled, is not done, or the body is no prediction.
    """
    if status >= 400:
        raise error(status, {}, body)
    from equitrcoder.wires.replicate_predictions.reading import read_body

    return read_body(body)


def stream_reader() -> PredictionStreamReader:
    """A reader for the events of one prediction."""
    return PredictionStreamReader()


def error(status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
    """Turn an HTTP error answer into a typed error, with `retryable` and `retry_after_s` set.

    Their shape: `{"title": …, "detail": …, "status": …}`; a throttled one says `retry_after` in the body, in seconds.
    """
    from equitrcoder.wires.failures import error_from_http, read_failure

    problem = error_from_http(status, headers, body)
    asked = read_failure(body).data
    wait_s = asked.get("retry_after") if isinstance(asked, dict) else None
    if problem.retryable and problem.retry_after_s is None and isinstance(wait_s, int | float) and 0 <= wait_s < 1e9:
        problem.retry_after_s = float(wait_s)
    return problem
