"""Output items: which of them are tool calls, whose they are to run, and what the others say.

Source: https://platform.openai.com/docs/api-reference/responses/object#responses/object-output
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from equitrcoder.records import JSON
from equitrcoder.wires.arguments import compact, read_arguments, text_of
from equitrcoder.wires.values import CallKind, LateResult, Pending, WireCall

MAX_ITEMS = 10_000
"""Output items of one answer. More is no answer: an empty one costs a few bytes on the wire and hundreds here."""

_BUILT_IN: dict[str, tuple[str, str]] = {
    "local_shell_call": ("local_shell", "action"),
    "shell_call": ("shell", "action"),
    "apply_patch_call": ("apply_patch", "operation"),
    "computer_call": ("computer", "action"),
    "tool_search_call": ("tool_search", "arguments"),
}
"""Tools of the wire's own that the client may have to run: item type to name and to the field with the arguments."""

_EXECUTED: dict[str, tuple[str, tuple[str, ...], str | None]] = {
    "web_search_call": ("web_search", (), None),
    "file_search_call": ("file_search", ("queries",), "results"),
    "code_interpreter_call": ("code_interpreter", ("code",), "outputs"),
    "image_generation_call": ("image_generation", (), "result"),
    # Perplexity's. Source: https://docs.perplexity.ai/docs/agent-api/openai-compatibility
    "search_results": ("web_search", ("queries",), "results"),
    "fetch_url_results": ("fetch_url", (), "contents"),
    "sandbox_results": ("sandbox", ("code", "language"), "results"),
    "sandbox_write_file": ("sandbox_write_file", ("file_path",), None),
    "sandbox_read_file": ("sandbox_read_file", ("file_path",), "content"),
    "sandbox_edit_file": ("sandbox_edit_file", ("file_path",), "message"),
    "sandbox_grep": ("sandbox_grep", (), "files"),
    "sandbox_glob": ("sandbox_glob", (), "files"),
    "sandbox_apply_patch": ("sandbox_apply_patch", (), "modified"),
    "share_file": ("share_file", (), "url"),
    "advisor_result": ("advisor", ("question",), "advice"),
}
"""Tools that the provider runs: item type to name, to the fields that are its arguments, and to that of its result."""

_RESULT_FIELDS = ("output", "tools", "result")


class CallItem(NamedTuple):
    """A tool call where it stands among the output items."""

    item: dict[str, Any]
    call: WireCall


def find_calls(output: Sequence[Any]) -> Iterator[CallItem]:
    """The calls among the output items, in order.

    A call whose output stands among the same items was run by the provider, whatever its type.
    """
    outputs = _Outputs(output)
    index = 0
    for item in output:
        call = _read(item, outputs, index) if isinstance(item, dict) else None
        if call is not None:
            yield CallItem(item, call)
            index += 1


def late_results(output: Sequence[Any], calls: Sequence[WireCall]) -> Iterator[LateResult]:
    """What came of calls that stand in an earlier answer: outputs whose call is not among the items."""
    here: set[str | None] | None = None
    for item in output:
        if isinstance(item, dict) and _is_output(item):
            here = {call.id for call in calls} if here is None else here
            wire_id = item.get("call_id")
            if isinstance(wire_id, str) and wire_id and wire_id not in here:
                yield LateResult(id=wire_id, result=_result_in(item), error=_error(item))


def _is_output(item: Mapping[str, Any]) -> bool:
    kind = item.get("type")
    return isinstance(kind, str) and kind.endswith("_output")


class _Outputs:
    """The results that came with an answer, by the id of their call; those without, in order."""

    def __init__(self, output: Sequence[Any]) -> None:
        self._by_id: dict[str, dict[str, Any]] = {}
        self._searches: list[dict[str, Any]] = []
        for item in output:
            if not isinstance(item, dict) or not _is_output(item):
                continue
            wire_id = item.get("call_id")
            if isinstance(wire_id, str) and wire_id:
                self._by_id.setdefault(wire_id, item)
            elif item.get("type") == "tool_search_output":
                self._searches.append(item)
        self._searches.reverse()

    def of(self, item: Mapping[str, Any]) -> dict[str, Any] | None:
        if not self._by_id and not self._searches:
            return None
        wire_id = item.get("call_id")
        if isinstance(wire_id, str) and wire_id:
            return self._by_id.get(wire_id)
        if item.get("type") == "tool_search_call" and self._searches:
            return self._searches.pop()
        return None


def _read(item: dict[str, Any], outputs: _Outputs, index: int) -> WireCall | None:
    kind = text_of(item.get("type"))
    if kind in ("function_call", "custom_tool_call"):
        arguments = read_arguments(item.get("arguments")) if kind == "function_call" else _custom(item.get("input"))
        return _client_call(item, text_of(item.get("name")), arguments, outputs, index)
    if kind in _BUILT_IN:
        name, field = _BUILT_IN[kind]
        value = item.get(field)
        if value is None and kind == "computer_call" and item.get("actions") is not None:
            value = {"actions": item["actions"]}
        return _client_call(item, name, read_arguments(value), outputs, index)
    if kind in ("mcp_call", "mcp_approval_request"):
        arguments = read_arguments(item.get("arguments"))
        return _executed_call(item, text_of(item.get("name")), arguments, item.get("output"), index)
    if kind == "unknown" and "item_name" in item:  # Perplexity's own word for what its API does not describe
        return _executed_call(item, text_of(item["item_name"]), {}, item.get("payload"), index)
    if kind in _EXECUTED or kind.endswith("_call"):
        return _hosted_call(item, kind, index)
    return None


def _hosted_call(item: dict[str, Any], kind: str, index: int) -> WireCall:
    """A tool that the provider runs; of one that nobody knows yet the usual fields are read."""
    name, fields, result_field = _EXECUTED.get(kind, (kind.removesuffix("_call"), (), "output"))
    arguments: Any = {field: item[field] for field in fields if field in item}
    further = ("action",) if kind == "web_search_call" else () if kind in _EXECUTED else ("action", "arguments")
    for field in further:
        if item.get(field) is not None:
            arguments = item[field]
            break
    result = item.get(result_field) if result_field else None
    return _executed_call(item, name, read_arguments(arguments), result, index)


def _client_call(item: dict[str, Any], name: str, arguments: Any, outputs: _Outputs, index: int) -> WireCall:
    output = outputs.of(item)
    wire_id = _id(item.get("call_id"))
    if output is None and not _hosted(item):
        return WireCall(name=name, arguments=arguments, id=wire_id, index=index)
    kind: CallKind = "provider-executed"
    pending: Pending | None = "result" if output is None and wire_id else None
    result = None if output is None else _result_in(output)
    return WireCall(name=name, arguments=arguments, id=wire_id, kind=kind, index=index, result=result, pending=pending)


def _result_in(output: Mapping[str, Any]) -> JSON:
    return next((output[field] for field in _RESULT_FIELDS if output.get(field) is not None), None)


def _hosted(item: Mapping[str, Any]) -> bool:
    """Whether the provider runs this call of a tool that either side may run."""
    if item.get("type") == "tool_search_call":
        return item.get("execution") != "client"
    environment = item.get("environment")
    return isinstance(environment, dict) and text_of(environment.get("type")).startswith("container")


def _executed_call(item: Mapping[str, Any], name: str, arguments: Any, result: JSON, index: int) -> WireCall:
    wire_id = item.get("id") if item.get("id") is not None else item.get("call_id")
    return WireCall(
        name=name,
        arguments=arguments,
        id=_id(wire_id),
        kind="provider-executed",
        index=index,
        result=result,
        error=_error(item),
        pending="approval" if item.get("type") == "mcp_approval_request" else None,
    )


def _error(item: Mapping[str, Any]) -> str | None:
    error = item.get("error") or item.get("error_message") or item.get("error_code")
    if isinstance(error, dict):
        message = error.get("message")
        error = message if isinstance(message, str) and message else compact(error)
    if error:
        return error if isinstance(error, str) else compact(error)
    return "failed" if item.get("status") == "failed" else None


def _custom(value: Any) -> str | None:
    """The input of a custom tool is free text, also when it looks like JSON."""
    return value if value is None or isinstance(value, str) else compact(value)


def message_texts(item: Mapping[str, Any]) -> tuple[str, str]:
    """The text and the refusal in a message item.

    Example:
        >>> message_texts({"content": [{"type": "output_text", "text": "Hi"}, {"type": "refusal", "refusal": "No."}]})
        ('Hi', 'No.')
    """
    content = item.get("content")
    if isinstance(content, str):
        return content, ""
    texts: list[str] = []
    refusals: list[str] = []
    for part in content if isinstance(content, list) else []:
        if isinstance(part, dict):
            refused = part.get("type") == "refusal"
            (refusals if refused else texts).append(text_of(part.get("refusal" if refused else "text")))
    return "".join(texts), "".join(refusals)


def reasoning_text(item: Mapping[str, Any]) -> str:
    """What a reasoning item says: its summary, else its text; the parts with a blank line between them."""
    for field in ("summary", "content"):
        parts = item.get(field)
        if isinstance(parts, list):
            texts = [text_of(part.get("text")) for part in parts if isinstance(part, dict)]
            if any(texts):
                return "\n\n".join(text for text in texts if text)
    return ""


def _id(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return compact(value)
