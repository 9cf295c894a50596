"""One question to one model, and everything that the client told on the way."""

from __future__ import annotations

from typing import Any

from equitrcoder.errors import EquitrError, ProviderError
from equitrcoder.providers import FailedAttempt, ModelClient, ModelRequest, ModelResponse, choose_model
from equitrcoder.settings import Settings
from equitrcoder.wires.values import Conversation, Delta, RequestOptions, UserMessage

KEY = "gsk_9f8e7d6c5b4a"

WIRES: dict[str, tuple[str, dict[str, str]]] = {
    # wire: a row that speaks it, and its variables; ORIGIN stands for http://127.0.0.1:PORT
    "openai-chat": ("groq", {"GROQ_BASE_URL": "ORIGIN/v1", "GROQ_API_KEY": KEY}),
    "openai-responses": ("perplexity", {"PERPLEXITY_BASE_URL": "ORIGIN", "PERPLEXITY_API_KEY": KEY}),
    "anthropic-messages": ("anthropic", {"ANTHROPIC_BASE_URL": "ORIGIN", "ANTHROPIC_API_KEY": KEY}),
    "gemini-generate": ("gemini", {"GEMINI_BASE_URL": "ORIGIN", "GEMINI_API_KEY": KEY}),
    "cohere-v2": ("cohere", {"COHERE_BASE_URL": "ORIGIN", "CO_API_KEY": KEY}),
    "ollama-chat": ("ollama", {"OLLAMA_BASE_URL": "ORIGIN", "OLLAMA_API_KEY": KEY}),
    "mistral": ("mistral", {"MISTRAL_BASE_URL": "ORIGIN", "MISTRAL_API_KEY": KEY}),
}


class Asked:
    """One `ask`: what it gave, and everything it told on the way. Waits are noted, not waited."""

    def __init__(self, wire: str = "openai-chat", model: str = "openai/gpt-oss-20b") -> None:
        self.row, self._variables = WIRES[wire]
        self.model = model
        self.waits: list[float] = []
        self.failed: list[FailedAttempt] = []
        self.texts: list[str] = []
        self.requests = 0
        self.response: ModelResponse | None = None
        self.error: ProviderError | None = None

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    def note_delta(self, delta: Delta) -> None:
        self.texts.append(delta.text)

    def client(self, base_url: str, **options: Any) -> ModelClient:
        origin = base_url.removesuffix("/v1")
        environ = {name: value.replace("ORIGIN", origin) for name, value in self._variables.items()}
        choice = choose_model(Settings(), environ, f"{self.row}/{self.model}")
        return ModelClient(choice, sleep=self.sleep, **options)

    async def run(self, base_url: str, *, stream: bool = True, **client: Any) -> None:
        async with self.client(base_url, **client) as model:
            await self.ask(model, stream=stream)

    async def ask(self, model: ModelClient, *, stream: bool = True) -> None:
        conversation = Conversation(system="s", messages=[UserMessage(text="hi")])
        options = RequestOptions(model=model.choice.model, stream=stream)
        request = ModelRequest(conversation=conversation, options=options)
        try:
            self.response = await model.ask(request, on_delta=self.note_delta, on_failed_attempt=self.failed.append)
        except ProviderError as error:
            self.error = error


def everything_said(error: BaseException | None) -> str:
    """All words of an error and of what caused it."""
    said = []
    while error is not None:
        said.append(f"{error!s} {error!r} {error.args!r}")
        if isinstance(error, EquitrError):
            said.append(repr(vars(error)))
        error = error.__cause__ or error.__context__
    return "\n".join(said)
