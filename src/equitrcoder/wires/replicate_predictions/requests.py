"""From a conversation to the input of a prediction.

Source: https://replicate.com/docs/reference/http#models.predictions.create
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from equitrcoder import jsontext
from equitrcoder.errors import RequestRefusedError, ToolsUnsupportedError
from equitrcoder.wires.effort import word_of
from equitrcoder.wires.values import (
    AssistantMessage,
    Conversation,
    Message,
    RequestOptions,
    ToolResults,
    ToolSpec,
    UserMessage,
    WireRequest,
)

_MODEL = re.compile(r"([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?::([0-9a-f]{64}))?")
_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens")
"""What models call the most tokens of an answer."""


def request(
    conversation: Conversation,
    tools: Sequence[ToolSpec],
    options: RequestOptions,
    dialect: Any = None,
    *,
    origin: str,
) -> WireRequest:
    """Build the request; see `equitrcoder.wires.values.Wire.request`.

    An `owner/name` is asked under its own path, an `owner/name:version` (64 hexadecimal digits) by its version.

    Raises:
        RequestRefusedError: The model's name is neither.
        ToolsUnsupportedError: There are tools: the interface cannot carry them.

    Example:
        >>> hello = Conversation(system="Be brief.", messages=[UserMessage(text="Hi")])
        >>> made = request(hello, [], RequestOptions(model="meta/llama", stream=False), origin="replicate")
        >>> made.path, made.body
        ('/models/meta/llama/predictions', {'input': {'prompt': 'Hi', 'system_prompt': 'Be brief.'}})
    """
    found = _MODEL.fullmatch(options.model)
    if found is None:
        raise RequestRefusedError(
            "A model of Replicate's is named owner/name, or owner/name:version.",
            hint="for example replicate/openai/gpt-oss-120b",
        )
    if tools:
        raise ToolsUnsupportedError(
            "Replicate's predictions carry no tools.", hint="take a model that does: equitrcoder models --tools"
        )
    name, version = found[1], found[2]
    body: dict[str, Any] = {"version": version} if version else {}
    body["input"] = _input(conversation, options)
    if options.stream:
        body["stream"] = True
    # no `Prefer: wait`: until such a request is answered nobody knows the id by which the prediction could be canceled
    return WireRequest(path="/predictions" if version else f"/models/{name}/predictions", body=body)


def _input(conversation: Conversation, options: RequestOptions) -> dict[str, Any]:
    given: dict[str, Any] = {"prompt": _prompt(conversation.messages)}
    if conversation.system:
        given["system_prompt"] = conversation.system
    if options.output_limit_tokens is not None:
        given["max_tokens"] = options.output_limit_tokens
    if options.reasoning_effort is not None:
        given["reasoning_effort"] = word_of(options.reasoning_effort)
    return given


def _prompt(messages: Sequence[Message]) -> str:
    """One message as it stands; a longer conversation with the speakers' names before what they said."""
    if len(messages) == 1 and isinstance(messages[0], UserMessage):
        return messages[0].text
    return "\n\n".join([*(line for message in messages for line in _told(message)), "Assistant:"])


def _told(message: Message) -> Iterator[str]:
    if isinstance(message, UserMessage):
        yield f"User: {message.text}"
    elif isinstance(message, AssistantMessage):
        if message.text:
            yield f"Assistant: {message.text}"
        for call in message.calls:
            yield f"Assistant called {call.name} with {_arguments(call.arguments)}"
    elif isinstance(message, ToolResults):
        for result in message.results:
            yield f"Result of {result.name}: {result.text}"


def _arguments(arguments: Mapping[str, Any] | None) -> str:
    try:
        return jsontext.dumps(arguments or {}).decode()
    except RecursionError:
        return "{}"


def input_fields(body: bytes) -> frozenset[str] | None:
    """The fields that a model takes, from the answer to `GET /models/{owner}/{name}`; None when it does not say.

    Example:
        >>> input_fields(b'{"latest_version":{"openapi_schema":{"components":{"schemas":{"Input":'
        ...              b'{"properties":{"prompt":{}}}}}}}}')
        frozenset({'prompt'})
    """
    try:
        value = jsontext.loads(body)
    except jsontext.InvalidJSON:
        return None
    for key in ("latest_version", "openapi_schema", "components", "schemas", "Input", "properties"):
        value = value.get(key) if isinstance(value, dict) else None
    return frozenset(value) if isinstance(value, dict) and value else None


def fitted(given: Mapping[str, Any], fields: frozenset[str]) -> dict[str, Any]:
    """The input that a model takes, from the one that was made without knowing it.

    A system prompt that has no field of its own goes before the prompt; the output limit goes under the model's own
    name for it; what it has no field for is left out.

    Raises:
        RequestRefusedError: It takes no prompt: it is no language model.

    Example:
        >>> made = {"prompt": "Hi", "system_prompt": "Be brief.", "max_tokens": 9}
        >>> fitted(made, frozenset({"prompt", "max_new_tokens"}))
        {'prompt': 'Be brief.\\n\\nHi', 'max_new_tokens': 9}
    """
    if "prompt" not in fields:
        raise RequestRefusedError(
            "This model of Replicate's takes no prompt: it is no language model.",
            hint="take another one: equitrcoder models replicate",
        )
    taken = dict(given)
    if "system_prompt" in taken and "system_prompt" not in fields:
        taken["prompt"] = f"{taken.pop('system_prompt')}\n\n{taken['prompt']}"
    if "max_tokens" in taken:
        limit = taken.pop("max_tokens")
        name = next((name for name in _LIMITS if name in fields), None)
        taken |= {name: limit} if name else {}
    return {name: value for name, value in taken.items() if name in fields}
