"""What a server answered to a call, as a result for the model and the ledger. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from equitrcoder import jsontext
from equitrcoder.mcp.words import one_line
from equitrcoder.records import JSON
from equitrcoder.sandbox.output import KeptOutput
from equitrcoder.tools.values import ToolResult

MOST_STRUCTURED_BYTES = 16_384
"""Larger structured content is described in the metadata, not held there."""


def result_of(answer: Mapping[str, Any], *, server: str, tool: str, limit_bytes: int) -> ToolResult:
    """A tool's answer: its texts one after the other, everything else named in brackets.

    Args:
        answer: The result of `tools/call` as the server sent it (camelCase).
        limit_bytes: How much of the text is kept; head and tail of a longer one.

    Example:
        >>> answer = {"content": [{"type": "text", "text": "a"}, {"type": "image", "data": "AAAA", "mimeType": "i/p"}]}
        >>> result_of(answer, server="f", tool="see", limit_bytes=100).text
        'a\\n[image i/p, 3 bytes: not shown]'
    """
    metadata: dict[str, JSON] = {"mcp_server": server, "mcp_tool": one_line(tool, 200)}
    texts = [_said(block) for block in answer.get("content") or ()]
    structured = answer.get("structuredContent")
    if structured is not None and not _repeats(structured, texts):
        raw = jsontext.dumps(structured)
        metadata["structured"] = (
            structured if len(raw) <= MOST_STRUCTURED_BYTES else f"[{len(raw):,} bytes of JSON: not held here]"
        )
        if not any(texts):
            texts = [raw.decode("utf-8", "replace")]
    kept = KeptOutput(limit_bytes)
    kept.feed("\n".join(texts).encode("utf-8", "replace"))
    text = kept.joined().decode("utf-8", "replace") or "(the tool said nothing)"
    failed = answer.get("isError") is True
    if kept.truncated:
        metadata["truncated"] = True
    return ToolResult(
        text,
        outcome="failed" if failed else "success",
        error_type="tool_error" if failed else None,
        error_message=one_line(text) if failed else None,
        metadata=metadata,
        full_bytes=kept.total_bytes if kept.truncated else None,
        full_sha256=kept.sha256 if kept.truncated else None,
    )


def _repeats(structured: Any, texts: list[str]) -> bool:
    """Many servers send their text twice, once as the only field of structured content."""
    return isinstance(structured, Mapping) and len(structured) == 1 and list(structured.values()) == ["\n".join(texts)]


def _said(block: Mapping[str, Any]) -> str:
    match block.get("type"):
        case "text":
            return str(block.get("text", ""))
        case "image" | "audio" as kind:
            return f"[{kind} {_kind(block)}, {_base64_bytes(block.get('data')):,} bytes: not shown]"
        case "resource_link":
            return f"[resource {one_line(str(block.get('name', '')), 100)}: {one_line(str(block.get('uri', '')))}]"
        case "resource":
            return _resource(block.get("resource") or {})
        case other:
            return f"[{one_line(str(other), 40)}: not shown]"


def _resource(resource: Mapping[str, Any]) -> str:
    uri = one_line(str(resource.get("uri", "")))
    if isinstance(resource.get("text"), str):
        return f"[resource {uri}]\n{resource['text']}"
    return f"[resource {uri} {_kind(resource)}, {_base64_bytes(resource.get('blob')):,} bytes: not shown]"


def _kind(block: Mapping[str, Any]) -> str:
    return one_line(str(block.get("mimeType") or "of unknown type"), 60)


def _base64_bytes(data: Any) -> int:
    return len(data) * 3 // 4 - data[-2:].count("=") if isinstance(data, str) else 0
