"""What one command may use when the settings do not say."""

from __future__ import annotations

COMMAND_LIMITS: dict[str, int] = {
    "cpu_s": 3_600,
    "file_mb": 20_000,
    "open_files": 65_536,
    "processes": 2_000,
    "memory_mb": 0,
}
"""`memory_mb` 0: three quarters of the machine's. What each bounds: sandbox/limits.py, docs/sandbox.md."""
