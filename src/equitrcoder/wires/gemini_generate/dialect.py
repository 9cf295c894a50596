"""What one host of generateContent does its own way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from equitrcoder.records import JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class GeminiDialect:
    """A row's departures from Google's own generateContent; the defaults are Google's."""

    thinking: bool = True
    """Whether `thinkingConfig` may be sent when a reasoning effort is asked for."""
    extra_body: Mapping[str, JSON] = field(default_factory=dict)
    """Put into the body as it stands; wins over what the wire would send."""
