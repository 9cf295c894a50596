"""Replicate's predictions: made, looked at, streamed and canceled, over several requests.

Source: https://replicate.com/docs/reference/http
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from equitrcoder.testing.faults import Plan, Rendered, plan
from equitrcoder.testing.openai_chat import split
from equitrcoder.testing.script import Answer, Auto, Fault, ReceivedRequest, Reply
from equitrcoder.wires.values import Usage

_CREATED = "2026-01-01T00:00:00.000000Z"  # fixed, so that the same script gives the same bytes
_ONE = re.compile(r"/predictions/(?P<id>[a-z0-9]+)(?P<what>/cancel|/stream)?$")
_MODEL = re.compile(r"/models/(?P<name>[^/]+/[^/]+)$")
_FIELDS = ("prompt", "system_prompt", "max_tokens", "reasoning_effort")
"""What the scripted model takes."""


@dataclass(slots=True, kw_only=True)
class _Made:
    """One prediction."""

    id: str
    request: ReceivedRequest
    fault: Fault
    looks_left: int
    canceled: bool = False


class Predictions:
    """What a provider of predictions knows: each prediction that was made, by its id.

    `Answer.extra` overrides fields of the finished prediction (`status`, `error`, `metrics`, `urls`, …); `looks` in it
    says how often it is not done yet when looked at. Tokens are told only where `usage` is given, as most models there
    count none. A fault of the stream (stalls, closes, insertions) happens in the stream; a status, a body of its own
    and whatever happens before the answer happen where the prediction is made.
    """

    def __init__(self) -> None:
        self._made: dict[str, _Made] = {}
        self._lock = threading.Lock()

    def plan(self, request: ReceivedRequest, origin: str, script: Callable[[], Reply]) -> Plan | None:
        """Say what is to be done for one request; None when it is none of this wire.

        Args:
            origin: Scheme, host and port of the server.
            script: Gives the reply for a new prediction.
        """
        path = request.path.partition("?")[0]
        if request.method == "POST" and path.endswith("/predictions"):
            return self._create(request, origin, script())
        model = _MODEL.search(path)
        if request.method == "GET" and model:
            return _json_plan(200, _model(model["name"]))
        found = _ONE.search(path)
        made = self._made.get(found["id"]) if found else None
        if found is None or made is None:
            return _json_plan(404, {"detail": "Not found.", "status": 404}) if found else None
        if found["what"] == "/stream":
            return plan(made.fault, made.request, self)
        if found["what"] == "/cancel":
            made.canceled = True
        return _json_plan(200, self._seen(made, origin))

    def _create(self, request: ReceivedRequest, origin: str, reply: Reply) -> Plan:
        fault = Fault(answer=reply) if isinstance(reply, Answer) else reply
        if fault.answer.calls:
            raise ValueError("the replicate-predictions wire has no tool calls")
        at_once = fault.body is not None or fault.status >= 400 or fault.close_before_answer
        if at_once or fault.stall_before_answer:
            return plan(fault, request, self)
        with self._lock:
            made = _Made(
                id=f"prediction{len(self._made) + 1}",
                request=request,
                fault=fault,
                looks_left=int(str(fault.answer.extra.get("looks", 0))),
            )
            self._made[made.id] = made
        waits = request.headers.get("prefer", "").startswith("wait") and not made.looks_left
        return _json_plan(201, self._document(made, origin, "" if waits else "starting"))

    def _seen(self, made: _Made, origin: str) -> dict[str, Any]:
        """The prediction at one look."""
        if made.canceled:
            return self._document(made, origin, "canceled")
        made.looks_left -= 1
        return self._document(made, origin, "processing" if made.looks_left >= 0 else "")

    def _document(self, made: _Made, origin: str, status: str) -> dict[str, Any]:
        """The prediction with a status of its way, or (empty) as it ended."""
        answer = made.fault.answer
        body = made.request.json if isinstance(made.request.json, dict) else {}
        here = f"{origin}/v1/predictions/{made.id}"
        model = re.search(r"/models/([^/]+/[^/]+)/predictions$", made.request.path.partition("?")[0])
        document = {
            "id": made.id,
            "model": answer.model or (model[1] if model else "scripted/model"),
            "version": body.get("version", "hidden"),
            "input": body.get("input", {}),
            "logs": "",
            "output": None,
            "data_removed": False,
            "error": None,
            "status": status,
            "created_at": _CREATED,
            "urls": {"get": here, "cancel": here + "/cancel", "web": "https://replicate.com/p/" + made.id},
        }
        if body.get("stream") is True:
            document["urls"]["stream"] = here + "/stream"
        if not status:
            document |= {"status": "succeeded", "output": _output(answer), "metrics": _metrics(answer)}
        own = {name: value for name, value in answer.extra.items() if name != "looks"}
        return document | (own if not status else {name: own[name] for name in ("urls", "id") if name in own})

    def render(
        self, answer: Answer, request: ReceivedRequest, *, drop_finish: bool = False, drop_done: bool = False
    ) -> Rendered:
        """Write the events of a prediction's stream; `drop_finish` and `drop_done` leave its `done` out."""
        events = [_event("output", piece, number) for number, piece in enumerate(_output(answer))]
        if answer.extra.get("error"):
            events.append(_event("error", json.dumps({"detail": answer.extra["error"]}), len(events)))
        if not (drop_finish or drop_done):
            failed = answer.extra.get("status", "succeeded") != "succeeded"
            events.append(_event("done", '{"reason": "error"}' if failed else "{}", len(events)))
        return Rendered(content_type="text/event-stream; charset=utf-8", events=events)

    def render_error(self, error: Mapping[str, Any], *, streaming: bool) -> bytes:
        """Write an error: a body, or an event of a stream."""
        words = str(error.get("message", dict(error)))
        return _event("error", words, 0) if streaming else _dumps({"detail": words, "status": 400})


def _output(answer: Answer) -> list[str]:
    return list(split(answer.text or "", answer.text_deltas))


def _metrics(answer: Answer) -> dict[str, Any]:
    usage = answer.usage
    if usage is None:
        return {}
    if isinstance(usage, Auto):
        return {"predict_time": 0.25}
    if isinstance(usage, Usage):
        counts = {"input_token_count": usage.input_tokens, "output_token_count": usage.output_tokens}
        return {"predict_time": 0.25, **{name: count for name, count in counts.items() if count is not None}}
    return dict(usage)


def _event(name: str, data: str, number: int) -> bytes:
    lines = "".join(f"data: {line}\n" for line in data.split("\n"))
    return f"event: {name}\nid: {number}:0\n{lines}\n".encode("utf-8", "backslashreplace")


def _model(name: str) -> dict[str, Any]:
    owner, _, short = name.partition("/")
    properties = {field: {"type": "string"} for field in _FIELDS}
    schema = {"components": {"schemas": {"Input": {"type": "object", "properties": properties}}}}
    version = {"id": "hidden", "created_at": _CREATED, "cog_version": "0", "openapi_schema": schema}
    return {
        "url": f"https://replicate.com/{name}",
        "owner": owner,
        "name": short,
        "visibility": "public",
        "run_count": 0,
        "latest_version": version,
    }


def _dumps(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace")


def _json_plan(status: int, value: Mapping[str, Any]) -> Plan:
    body = _dumps(dict(value))
    return Plan(status=status, headers={"content-type": "application/json"}, steps=(body,), body_bytes=len(body))
