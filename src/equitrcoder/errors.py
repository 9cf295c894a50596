"""Every error a caller can meet: what happened, why, the fix, a code, and the exit code of the commands.

    EquitrError                     `except EquitrError` is always enough
      UsageError                      the words of a command or call are off
      ConfigError                     unknown key, bad YAML: names file, line, nearest valid key
        MissingKeyError                 names the environment variable
        UnknownModelError               unknown provider or model: names the closest three
        UnpricedModelError              --budget with a model that has no known price
        MultiAgentNotReadyError         a supervisor with workers was asked for, and that comes next
      ProviderError                   provider, model, status, retry_after_s
        AuthenticationError  RateLimitError  QuotaExhaustedError  ContextTooLongError
        ProviderTimeoutError  ProviderUnreachableError  ProviderOverloadedError
        RequestRefusedError  BadResponseError  StreamBrokenError
        ToolsUnsupportedError  WireNotReadyError
      RunStopped                      carries the partial result
        BudgetExceeded  StepLimitReached  TimeLimitReached  RunCancelled  ApprovalNeeded
        MiddlewareError                 a middleware of the caller's raised: names it
      LedgerError                     IndexBusy
      SandboxError                    `--sandbox required` and there is none
      ExportError
        ToolLogError                    the tool log cannot be written: nothing was run

A tool that fails is not one of these: it becomes a record and a message to the model.
Standard library only.
"""

from __future__ import annotations

from typing import Any, ClassVar


class EquitrError(Exception):
    """Something a caller can act on.

    Args:
        message: What happened and why, one sentence or two.
        hint: The fix: what to do next. Shown after "Fix: ".
        code: A stable code such as "E101"; the class has a default.

    `str(error)` is the line that the terminal shows.

    Example:
        >>> str(ConfigError("bad value.", hint="use another", code="E119"))
        'E119 bad value. Fix: use another'
    """

    default_code: ClassVar[str] = "E100"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "", code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code or self.default_code

    def __str__(self) -> str:
        return f"{self.code} {self.message}" + (f" Fix: {self.hint}" if self.hint else "")


class UsageError(EquitrError):
    """The words of a command or call are off."""

    default_code = "E120"
    exit_code = 2


class ConfigError(EquitrError):
    """The settings cannot be used as they stand."""

    default_code = "E110"
    exit_code = 3


class MissingKeyError(ConfigError):
    """A provider needs a key and none is set."""

    default_code = "E101"


class UnknownModelError(ConfigError):
    """No such provider or model."""

    default_code = "E102"


class UnpricedModelError(ConfigError):
    """A dollar budget was asked for and the model has no known price."""

    default_code = "E202"


class MultiAgentNotReadyError(ConfigError):
    """A supervisor with workers was asked for, and that is not built yet."""

    default_code = "E503"


class SandboxError(ConfigError):
    """A sandbox was required and none can be had here."""

    default_code = "E402"


class ProviderError(EquitrError):
    """A provider did not give an answer that can be used.

    Attributes:
        provider: Name of the row; empty until the client fills it in.
        model: Model as sent; empty until the client fills it in.
        status: HTTP status; None when there was no answer at all.
        retryable: Whether the same request may succeed later.
        retry_after_s: How long the provider asked to wait; None when it did not say.
        excerpt: At most the first 500 characters of what it answered.
        partial: What had been read before it broke off (`wires.values.Turn`), or None.
        result: What the run had until then (`RunResult`); None when it was no run's.
    """

    default_code = "E310"
    exit_code = 4
    error_type: ClassVar[str] = "provider_error"
    default_retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        code: str | None = None,
        provider: str = "",
        model: str = "",
        status: int | None = None,
        retryable: bool | None = None,
        retry_after_s: float | None = None,
        excerpt: str = "",
        partial: Any = None,  # a Turn; typed Any so that the vocabulary stays below the wires
    ) -> None:
        super().__init__(message, hint=hint, code=code)
        self.provider = provider
        self.model = model
        self.status = status
        self.retryable = self.default_retryable if retryable is None else retryable
        self.retry_after_s = retry_after_s
        self.excerpt = excerpt[:500]
        self.partial = partial
        self.result: Any = None


class AuthenticationError(ProviderError):
    """The key was refused, or may not do this."""

    default_code = "E311"
    error_type = "authentication"


class RateLimitError(ProviderError):
    """Too many requests: the provider asks to wait."""

    default_code = "E303"
    error_type = "rate_limit"
    default_retryable = True


class QuotaExhaustedError(ProviderError):
    """The account is out of credit or quota: waiting does not help."""

    default_code = "E304"
    error_type = "quota_exhausted"


class ContextTooLongError(ProviderError):
    """The conversation no longer fits the model."""

    default_code = "E305"
    error_type = "context_too_long"


class ProviderTimeoutError(ProviderError):
    """The provider was silent for too long, or the deadline passed."""

    default_code = "E306"
    error_type = "timeout"
    default_retryable = True


class ProviderUnreachableError(ProviderError):
    """No connection: refused, no such host, TLS failed."""

    default_code = "E302"
    error_type = "unreachable"
    default_retryable = True


class ProviderOverloadedError(ProviderError):
    """The provider failed on its side (5xx, overloaded)."""

    default_code = "E307"
    error_type = "overloaded"
    default_retryable = True


class RequestRefusedError(ProviderError):
    """The provider says that the request itself is wrong (400, 404, 422)."""

    default_code = "E308"
    error_type = "refused"


class BadResponseError(ProviderError):
    """The answer is not one of this wire: wrong content type, no JSON, no choices, an error inside a 200."""

    default_code = "E309"
    error_type = "bad_response"


class StreamBrokenError(BadResponseError):
    """A stream ended without its finish: it is no answer and none of its calls runs."""

    default_code = "E312"
    error_type = "stream_broken"
    default_retryable = True


class ToolsUnsupportedError(ProviderError):
    """This model takes no tools."""

    default_code = "E501"
    error_type = "tools_unsupported"


class WireNotReadyError(ProviderError):
    """No wire has this name."""

    default_code = "E502"
    error_type = "wire_not_ready"


class RunStopped(EquitrError):
    """A run ended before the model was done; `result` holds what there is."""

    default_code = "E200"
    exit_code = 6

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        code: str | None = None,
        result: Any = None,  # a RunResult; typed Any so that the vocabulary stays below the agent
    ) -> None:
        super().__init__(message, hint=hint, code=code)
        self.result = result


class BudgetExceeded(RunStopped):
    """The next model call could cost more than what is left."""

    default_code = "E201"
    exit_code = 5


class StepLimitReached(RunStopped):
    """The run took as many turns as it may."""

    default_code = "E203"


class TimeLimitReached(RunStopped):
    """The run took as long as it may."""

    default_code = "E204"


class RunCancelled(RunStopped):
    """Somebody stopped the run."""

    default_code = "E205"
    exit_code = 130


class ApprovalNeeded(RunStopped):
    """A call needs approval and there is nobody to ask."""

    default_code = "E401"
    exit_code = 7


class MiddlewareError(RunStopped):
    """A middleware of the caller's own raised, or returned what it must not; the original is `__cause__`."""

    default_code = "E207"
    exit_code = 1


class LedgerError(EquitrError):
    """The ledger cannot be read or written."""

    default_code = "E601"


class IndexBusy(LedgerError):
    """The index could not be reached in time; the journals are unharmed."""

    default_code = "E603"


class ExportError(EquitrError):
    """An export or the tool log cannot be written."""

    default_code = "E301"


class ToolLogError(ExportError):
    """The tool log that was asked for cannot be written; told before anything runs."""

    exit_code = 3
