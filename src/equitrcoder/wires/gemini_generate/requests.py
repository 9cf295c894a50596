"""From a conversation to a request of generateContent.

Source: https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from equitrcoder.wires.gemini_generate.calls import found_calls
from equitrcoder.wires.gemini_generate.dialect import GeminiDialect
from equitrcoder.wires.gemini_generate.fields import pick
from equitrcoder.wires.gemini_generate.thinking import needs_signatures, thinking_config
from equitrcoder.wires.schemas import (
    EVERY_HOST,
    const_as_enum,
    fitted,
    known_required,
    only,
    property_names,
    typed_enums,
)
from equitrcoder.wires.values import (
    AssistantMessage,
    Conversation,
    EchoedCall,
    Message,
    RequestOptions,
    ResultForModel,
    ToolResults,
    ToolSpec,
    UserMessage,
    WireRequest,
)

FOREIGN_SIGNATURE = "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I="
"""`skip_thought_signature_validator` in base64: stands for the signature of a call that another model made.

Source: https://ai.google.dev/gemini-api/docs/thought-signatures
"""

SCHEMA_RULES = (
    *EVERY_HOST,
    const_as_enum,
    typed_enums,
    only(
        *("type", "title", "description", "enum", "items", "prefixItems", "minItems", "maxItems", "minimum", "maximum"),
        *("anyOf", "properties", "additionalProperties", "required"),
    ),
    property_names("[a-zA-Z_][a-zA-Z0-9_]{0,63}"),
    known_required,
)
"""What `parametersJsonSchema` is known to take.

Source: https://ai.google.dev/gemini-api/docs/structured-output#json-schema-support; design/providers.md section 1.4
"""

_NOT_IN_NAME = re.compile(r"[^a-zA-Z0-9_.:-]")


def request(
    conversation: Conversation,
    tools: Sequence[ToolSpec],
    options: RequestOptions,
    dialect: GeminiDialect | None,
    *,
    origin: str,
) -> WireRequest:
    """Build the request; see `equitrcoder.wires.values.Wire.request`.

    Nothing of the conversation is changed: what a message must lose or gain is done on a copy. Whether calls may come
    several at a time cannot be said on this wire.

    Example:
        >>> hello = Conversation(system="Be brief.", messages=[UserMessage(text="Hi")])
        >>> made = request(hello, [], RequestOptions(model="gemini-x", stream=False), None, origin="gemini")
        >>> made.path, made.body["contents"]
        ('/models/gemini-x:generateContent', [{'role': 'user', 'parts': [{'text': 'Hi'}]}])
    """
    dialect = dialect or GeminiDialect()
    owner = ("gemini-generate", options.model, origin)
    forms = conversation.forms.of(owner, conversation.messages, lambda: _Contents(options.model, origin).content)
    body: dict[str, Any] = {"contents": [content for content in forms if content is not None]}
    if conversation.system:
        body["systemInstruction"] = {"parts": [{"text": conversation.system}]}
    if tools:
        body["tools"] = [{"functionDeclarations": [_declaration(tool) for tool in tools]}]
    generation: dict[str, Any] = {}
    if options.output_limit_tokens is not None:
        generation["maxOutputTokens"] = options.output_limit_tokens
    if dialect.thinking and options.reasoning_effort is not None:
        generation.update(thinking_config(options.model, options.reasoning_effort))
    if generation:
        body["generationConfig"] = generation
    body.update(dialect.extra_body)
    return WireRequest(path=_path(options), body=body)


def _path(options: RequestOptions) -> str:
    """The model stands in the path; `models/…` and `tunedModels/…` may be said in full, as in Google's own client."""
    model = quote(options.model, safe="/.:@-_~")
    if not model.startswith(("models/", "tunedModels/")):
        model = f"models/{model}"
    return f"/{model}:streamGenerateContent?alt=sse" if options.stream else f"/{model}:generateContent"


def _declaration(tool: ToolSpec) -> dict[str, Any]:
    """`parametersJsonSchema` takes much of JSON Schema; `parameters` only a part of OpenAPI's."""
    parameters = fitted(tool.parameters, SCHEMA_RULES)
    return {"name": tool.name, "description": tool.description, "parametersJsonSchema": parameters}


class _Contents:
    """Writes the contents of messages in order."""

    def __init__(self, model: str, origin: str) -> None:
        self._model = model
        self._origin = origin
        self._given: dict[str, str] = {}  # ids of the newest answer's calls that Google gave: only those go back

    def content(self, message: Message) -> dict[str, Any] | None:
        """None for a message that says nothing: an empty content is refused."""
        if isinstance(message, UserMessage):
            return {"role": "user", "parts": [{"text": message.text}]}
        if isinstance(message, ToolResults):
            parts = [_result(result, self._given) for result in message.results]
            return {"role": "user", "parts": parts} if parts else None
        native = message.native if message.origin == self._origin else None
        received = native.get("parts") if native is not None else None
        echoed = _Echo(message, received if isinstance(received, list) else None, self._model)
        self._given = echoed.given
        return {"role": "model", "parts": echoed.parts} if echoed.parts else None


def _result(result: ResultForModel, given: Mapping[str, str]) -> dict[str, Any]:
    response: dict[str, Any] = {"id": given[result.wire_id]} if result.wire_id in given else {}
    response["name"] = call_name(result.name)
    response["response"] = {"error" if result.is_error else "output": result.text}
    return {"functionResponse": response}


class _Echo:
    """An answer as it goes back: `parts`, and in `given` the ids that its calls go back with."""

    def __init__(self, message: AssistantMessage, native: list[dict[str, Any]] | None, model: str) -> None:
        self.given: dict[str, str] = {}
        calls = {call.index: call for call in message.calls}
        if native is None:
            self.parts: list[dict[str, Any]] = [{"text": message.text}] if message.text else []
        else:
            self.parts = self._native(native, calls)
        signed = any(pick(part, "thoughtSignature") for part in self.parts)
        self.parts += [_plain_call(call) for call in calls.values()]  # of another row, or of a further candidate
        if not signed and needs_signatures(model):
            self._sign_foreign()

    def _native(self, native: list[dict[str, Any]], calls: dict[int, EchoedCall]) -> list[dict[str, Any]]:
        """The parts one by one as they came; calls with the ids and arguments that the agent uses."""
        places = {found.place: index for index, found in enumerate(found_calls(native).calls)}
        parts = []
        for place, part in enumerate(native):
            index = places.get(place)
            call = calls.pop(index) if index is not None and index in calls else None
            if call is not None:
                part = self._native_call(part, call)
            if part:  # `{}` is refused
                parts.append(part)
        return parts

    def _native_call(self, part: dict[str, Any], call: EchoedCall) -> dict[str, Any]:
        field = "functionCall" if part.get("functionCall") is not None else "function_call"
        body = {key: value for key, value in part[field].items() if key != "id"}
        if part[field].get("id"):
            body = {"id": call.wire_id, **body}
            self.given[call.wire_id] = call.wire_id
        body["name"] = call_name(call.name)
        body["args"] = call.arguments or {}
        return {**part, field: body}

    def _sign_foreign(self) -> None:
        """Only the first call of an answer carries a signature."""
        for place, part in enumerate(self.parts):
            if pick(part, "functionCall") is not None:
                self.parts[place] = {**part, "thoughtSignature": FOREIGN_SIGNATURE}
                return


def _plain_call(call: EchoedCall) -> dict[str, Any]:
    return {"functionCall": {"name": call_name(call.name), "args": call.arguments or {}}}


def call_name(name: str) -> str:
    """A function name that Google takes back: it starts with a letter or `_` and has at most 128 characters.

    Example:
        >>> call_name("mcp:read_file"), call_name("read file"), call_name("2nd"), call_name("")
        ('mcp:read_file', 'read_file', '_2nd', 'unnamed')
    """
    name = _NOT_IN_NAME.sub("_", name)
    if name and not (name[0].isalpha() or name[0] == "_"):
        name = f"_{name}"
    return name[:128] or "unnamed"
