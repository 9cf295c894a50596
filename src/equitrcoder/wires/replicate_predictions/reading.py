"""Reads predictions.

Source: https://replicate.com/docs/topics/predictions/lifecycle
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from equitrcoder.errors import BadResponseError, ProviderError, ProviderOverloadedError, ProviderTimeoutError
from equitrcoder.wires.documents import checked_object, excerpt, read_json
from equitrcoder.wires.values import Turn, Usage

ENDED = frozenset({"succeeded", "failed", "canceled", "aborted"})
"""Statuses that a prediction keeps."""

RUNNING = frozenset({"starting", "processing", "queued"})
"""Statuses on the way there."""

_OURS = ("input", "logs", "urls")
"""Fields that are not kept: what was asked, what the model's program printed of it, and links that need no key."""

_AGAIN = re.compile(r"please (retry|try again)|prediction interrupted|director: unexpected error", re.IGNORECASE)


def read_body(body: bytes) -> Turn:
    """Read a prediction that has come to its end.

    Raises:
        ProviderError: It failed or was canceled, is not done, or the body is no prediction.
    """
    return read_prediction(checked_object(read_json(body), body), body)


def read_prediction(prediction: Mapping[str, Any], body: bytes = b"") -> Turn:
    """Read a prediction's object; see `read_body`."""
    status = prediction.get("status")
    if status in ENDED:
        turn = _turn(prediction)
        if status == "succeeded":
            return turn
        raise _unsuccessful(prediction, str(status), turn)
    if status in RUNNING:
        raise BadResponseError("The prediction is not done.", partial=_turn(prediction), retryable=True)
    if prediction.get("error") or prediction.get("detail"):
        from equitrcoder.wires.failures import error_inside

        raise error_inside(dict(prediction))
    raise BadResponseError("The answer is no prediction.", excerpt=excerpt(body))


def _turn(prediction: Mapping[str, Any]) -> Turn:
    model, identity, status = (prediction.get(name) for name in ("model", "id", "status"))
    return Turn(
        text=output_text(prediction.get("output")),
        usage=_usage(prediction.get("metrics")),
        finish=status if isinstance(status, str) else None,
        stop="end" if status == "succeeded" else "unknown",
        model_answered=model if isinstance(model, str) and model else None,
        response_id=identity if isinstance(identity, str) and identity else None,
        native={name: value for name, value in prediction.items() if name not in _OURS},
    )


def output_text(output: Any) -> str:
    """The text of an output: language models give it whole, or as a list of its pieces. What is neither is its JSON.

    Example:
        >>> output_text(["Hel", "lo"]), output_text("Hello"), output_text(None), output_text({"a": 1})
        ('Hello', 'Hello', '', '{"a":1}')
    """
    if output is None or isinstance(output, str):
        return output or ""
    if isinstance(output, list) and all(isinstance(piece, str) for piece in output):
        return "".join(output)
    from equitrcoder.wires.arguments import compact

    return compact(output)


def _usage(metrics: Any) -> Usage:
    """Tokens where the model counts them; most do not."""
    told = metrics if isinstance(metrics, dict) else {}
    return Usage(
        input_tokens=_count(told.get("input_token_count")), output_tokens=_count(told.get("output_token_count"))
    )


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53 else None


def _unsuccessful(prediction: Mapping[str, Any], status: str, turn: Turn) -> ProviderError:
    error: ProviderError
    if status == "canceled":
        error = BadResponseError("The prediction was canceled at the provider.", hint="ask again")
    elif status == "aborted":
        error = ProviderTimeoutError("The prediction was aborted before it began.", retryable=False)
    else:
        error = _failed(prediction.get("error"))
    error.partial = turn
    return error


def _failed(told: Any) -> ProviderError:
    from equitrcoder.wires.failures import error_inside

    words = told if isinstance(told, str) and told.strip() else "no reason given"
    error = error_inside({"error": {"message": words}})
    error.message = error.message.replace("The provider put an error into its answer:", "The prediction failed:", 1)
    if type(error) is BadResponseError and _AGAIN.search(words[:2000]):
        return ProviderOverloadedError(error.message, excerpt=error.excerpt)
    return error
