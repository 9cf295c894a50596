"""A provider that fails, as the user of `equitrcoder run` meets it: in words, in `--json` and in the record."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from equitrcoder.testing import Answer, Call, Fault, Reply, ScriptedProvider
from equitrcoder.testing.script import Usage
from tests.asking import WIRES
from tests.command import KEY, Done, World


def journals(world: World) -> list[list[dict[str, Any]]]:
    """The events of each run, the runs in the order of their start."""
    paths = sorted((world.state / "journals").rglob("*.jsonl"), key=lambda path: path.name)
    return [[json.loads(line) for line in path.read_text().splitlines()] for path in paths]


def of_type(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event for event in events if event["type"] == kind]


def run(world: World, base_url: str, wire: str, *arguments: str, **environ: str) -> Done:
    row, variables = WIRES[wire]
    origin = base_url.removesuffix("/v1")
    known = {name: value.replace("ORIGIN", origin) if "ORIGIN" in value else KEY for name, value in variables.items()}
    common = ["--model", f"{row}/scripted", "--approve", "all", "--sandbox", "off", "--json"]
    return world.equitrcoder("run", *common, *arguments, "do it", environ=known | environ)


@dataclass(frozen=True)
class Case:
    """How a provider fails in its own words, and what is to be told of it."""

    wire: str
    replies: list[Reply]
    words: str
    code: str
    error_type: str
    status: int | None
    told: str
    """The facts behind the sentence."""
    fix: str
    flags: list[str] = field(default_factory=list)


def failing(status: int, body: dict[str, Any], request_id: str = "", **headers: str) -> Fault:
    named = {request_id: "req_7"} if request_id else {}
    return Fault(status=status, body=body, headers={**named, **{k.replace("_", "-"): v for k, v in headers.items()}})


TOO_MUCH = {"error": {"message": f"You exceeded your current quota, key {KEY}", "code": "insufficient_quota"}}
OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": f"Overloaded ({KEY})"}}
RETRY_INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.01s"}
SLOW_DOWN = {"error": {"code": 429, "message": "Slow down", "status": "RESOURCE_EXHAUSTED", "details": [RETRY_INFO]}}
NO_KEY = {"error": {"code": 400, "message": f"API key not valid: {KEY}", "status": "INVALID_ARGUMENT"}}
FAILED = {"message": f"The server had an error while it worked for {KEY}", "code": "server_error"}

CASES = [
    Case(
        "openai-chat",
        [failing(429, TOO_MUCH, "x-request-id")],
        "groq answered 429: You exceeded your current quota, key [key]",
        "E304",
        "quota_exhausted",
        429,
        "(groq/scripted, request id req_7)",
        "add credit at the provider, or take another model",
    ),
    Case(
        "openai-responses",
        [Fault(error=FAILED, insert_after_events=2, headers={"x-request-id": "req_7"})],
        "perplexity put an error into its answer: The server had an error while it worked for [key]",
        "E307",
        "overloaded",
        200,
        "(perplexity/scripted, status 200, request id req_7)",
        "try again later, or go on with another model: --fallback-model",
    ),
    Case(
        "anthropic-messages",
        [failing(529, OVERLOADED, "request-id")],
        "anthropic answered 529: Overloaded ([key])",
        "E307",
        "overloaded",
        529,
        "(anthropic/scripted, request id req_7)",
        "try again later, or go on with another model: --fallback-model",
        ["--no-stream"],
    ),
    Case(
        "gemini-generate",
        [failing(429, SLOW_DOWN), failing(400, NO_KEY)],
        "gemini answered 400: API key not valid: [key]",
        "E311",
        "authentication",
        400,
        "(gemini/scripted)",
        "check GEMINI_API_KEY",
    ),
    Case(
        "cohere-v2",
        [failing(401, {"id": "x", "message": f"invalid api token {KEY}"}, "x-debug-trace-id")],
        "cohere answered 401: invalid api token [key]",
        "E311",
        "authentication",
        401,
        "(cohere/scripted, request id req_7)",
        "check CO_API_KEY",
        ["--no-stream"],
    ),
    Case(
        "ollama-chat",
        [failing(404, {"error": "model 'scripted' not found"})],
        "ollama answered 404: model 'scripted' not found",
        "E102",
        "refused",
        404,
        "(ollama/scripted)",
        "all: equitrcoder models ollama",
    ),
    Case(
        "mistral",
        [failing(422, {"detail": [{"msg": "Extra inputs are not permitted", "loc": ["x"]}]}, "mistral-correlation-id")],
        "mistral answered 422: Extra inputs are not permitted",
        "E308",
        "refused",
        422,
        "(mistral/scripted, request id req_7)",
        "the provider's words say what it does not take; try another model",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[case.wire for case in CASES])
def test_what_failed_is_told_everywhere_alike(case: Case, tmp_path: Path) -> None:
    world = World(tmp_path)
    attempts = len(case.replies)
    with ScriptedProvider(case.replies) as provider:
        done = run(world, provider.base_url, case.wire, *case.flags, EQUITRCODER_MAX_ATTEMPTS=str(attempts))
        assert (provider.errors, len(provider.requests)) == ([], attempts)
    message = f"{case.words} {case.told}"
    sentence = f"{case.code} {message} Fix: {case.fix}"
    assert done.code == 4
    assert sentence in done.err.splitlines()
    failed = of_type(done.events, "request.failed")
    assert [event["attempt"] for event in failed] == list(range(1, attempts + 1))
    assert failed[-1]["error"] == {
        "type": case.error_type,
        "code": case.code,
        "message": message,
        "status": case.status,
    }
    finished = done.event("run.finished")
    assert (finished["status"], finished["exit_code"]) == ("failed", 4)
    assert finished["error"] == {"type": case.error_type, "message": sentence}
    (events,) = journals(world)
    recorded = of_type(events, "request_failed")
    assert [event["attempt"] for event in recorded] == list(range(1, attempts + 1))
    last = recorded[-1]
    assert (last["error_type"], last["message"], last["status"]) == (case.error_type, message, case.status)
    assert last["wait_s"] is None
    assert (events[-1]["type"], events[-1]["status"], events[-1]["error"]) == ("run_finished", "failed", sentence)
    assert KEY not in done.out + done.err
    assert world.files_holding(KEY) == []


SIDE_EFFECT = Answer(calls=[Call("write_file", {"file_path": "b.txt", "content": "x"})])


def test_nothing_of_a_broken_answer_runs_and_the_attempt_is_recorded(tmp_path: Path) -> None:
    broken = Fault(answer=SIDE_EFFECT, close_after_bytes=500)
    world = World(tmp_path)
    with ScriptedProvider([broken, broken]) as provider:
        done = run(world, provider.base_url, "openai-chat", EQUITRCODER_MAX_ATTEMPTS="2")
    assert done.code == 4
    assert not (world.repo / "b.txt").exists()
    (events,) = journals(world)
    assert [event["error_type"] for event in of_type(events, "request_failed")] == ["stream_broken"] * 2
    assert of_type(events, "turn") == of_type(events, "call_requested") == []
    failed = of_type(done.events, "request.failed")
    assert [event["wait_s"] is None for event in failed] == [False, True]
    told = "The connection to groq broke in the middle of an answer. (groq/scripted, status 200)"
    assert {event["error"]["message"] for event in failed} == {told}


GONE = failing(404, {"error": {"message": "The model does not exist", "code": "model_not_found"}})
REFUSED = failing(401, {"error": {"message": "Invalid API Key"}})


def test_fallback_models_are_taken_in_order_on_any_wire_at_the_start(tmp_path: Path) -> None:
    world = World(tmp_path)
    answer = Answer(text="Done.", usage=Usage(input_tokens=1, output_tokens=1))
    with ScriptedProvider([GONE, REFUSED, answer]) as provider:
        done = run(
            world,
            provider.base_url,
            "openai-chat",
            *("--fallback-model", "anthropic/second", "--fallback-model", "ollama/third"),
            ANTHROPIC_BASE_URL=provider.base_url.removesuffix("/v1"),
            ANTHROPIC_API_KEY=KEY,
            OLLAMA_BASE_URL=provider.base_url.removesuffix("/v1"),
        )
        asked = [request.path for request in provider.requests]
    assert (done.code, provider.errors) == (0, []), done.err
    assert asked == ["/v1/chat/completions", "/v1/messages", "/api/chat"]
    assert done.err.count("Going on with anthropic/second.") == done.err.count("Going on with ollama/third.") == 1
    first, second, third = journals(world)
    started = [events[0] for events in (first, second, third)]
    assert [one["model_requested"] for one in started] == ["groq/scripted", "anthropic/second", "ollama/third"]
    assert [one["settings"].get("fallback_for") for one in started] == [None, "groq/scripted", "anthropic/second"]
    assert [one["attempt"] for one in started] == [1, 2, 3]
    assert [one["previous_run_id"] for one in started] == [None, started[0]["run_id"], started[1]["run_id"]]
    assert [events[-1]["status"] for events in (first, second, third)] == ["failed", "failed", "completed"]


def test_in_mid_run_only_a_model_on_the_same_wire_is_taken(tmp_path: Path) -> None:
    world = World(tmp_path)
    with ScriptedProvider([Answer(calls=[Call("git_status")]), GONE, Answer(text="Done.")]) as provider:
        done = run(
            world,
            provider.base_url,
            "openai-chat",
            EQUITRCODER_FALLBACK_MODELS="ollama/other-wire, deepseek/same-wire",
            OLLAMA_BASE_URL=provider.base_url.removesuffix("/v1"),
            DEEPSEEK_BASE_URL=provider.base_url,
            DEEPSEEK_API_KEY=KEY,
        )
        asked = [request.json["model"] for request in provider.requests]
    assert done.code == 0, done.err
    assert asked == ["scripted", "scripted", "same-wire"]
    assert "other-wire" not in done.err


def test_in_mid_run_there_may_be_none(tmp_path: Path) -> None:
    world = World(tmp_path)
    with ScriptedProvider([Answer(calls=[Call("git_status")]), GONE]) as provider:
        origin = provider.base_url.removesuffix("/v1")
        done = run(world, provider.base_url, "openai-chat", "--fallback-model", "ollama/other", OLLAMA_BASE_URL=origin)
    assert done.code == 4
    assert "Going on" not in done.err


def test_without_a_key_for_the_first_the_fallback_begins_and_it_is_said(tmp_path: Path) -> None:
    world = World(tmp_path)
    with ScriptedProvider([Answer(text="Done.")]) as provider:
        flags = ["--model", "groq/first", "--fallback-model", "openai/second", "--approve", "all", "--sandbox", "off"]
        done = world.equitrcoder("run", *flags, "do it", environ={"OPENAI_BASE_URL": provider.base_url})
    assert done.code == 0, done.err
    said = [line for line in done.err.splitlines() if "Going on with openai/second." in line]
    assert len(said) == 1
    assert said[0].startswith("E101 No key for groq: GROQ_API_KEY is not set.")


@pytest.mark.parametrize(("name", "code"), [("groq/without-a-key", "E101"), ("nobody/at-all", "E102")])
def test_a_fallback_model_that_could_not_be_asked_is_refused_at_once(name: str, code: str, tmp_path: Path) -> None:
    world = World(tmp_path)
    with ScriptedProvider([]) as provider:
        world.environ["OPENAI_BASE_URL"] = provider.base_url
        done = world.run("--fallback-model", name)
        assert provider.requests == []
    assert done.code == 3
    assert code in done.err


def set_prices(world: World, prices: dict[str, Any]) -> None:
    path = world.home / ".config" / "equitrcoder" / "config.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"prices": prices}))


@pytest.mark.parametrize(
    ("fault", "cost", "counted"),
    [
        (Fault(answer=SIDE_EFFECT, close_after_bytes=500), None, True),
        (Fault(status=503, body={"error": {"message": "busy"}}, headers={"retry-after": "0"}), 0, False),
        (Fault(close_before_answer=True), 0, False),
    ],
    ids=["an answer that broke off", "a refusal", "no answer"],
)
def test_what_an_attempt_may_have_cost_counts_for_the_budget(
    fault: Fault, cost: int | None, counted: bool, tmp_path: Path
) -> None:
    """With $0.03 and $0.02 reserved for each request, a second one may go out only if the first cost nothing."""
    world = World(tmp_path)
    set_prices(world, {"groq/scripted": {"input": 1.0, "output": 10.0}})
    answer = Answer(text="Done.", usage=Usage(input_tokens=1000, output_tokens=100))
    with ScriptedProvider([fault, answer]) as provider:
        limit = {"EQUITRCODER_OUTPUT_LIMIT_TOKENS": "1200"}
        done = run(world, provider.base_url, "openai-chat", "--budget", "0.03", **limit)
        requests = len(provider.requests)
    (events,) = journals(world)
    (failed,) = of_type(events, "request_failed")
    assert failed["cost_nanousd"] == cost
    assert (done.code, requests) == ((5, 1) if counted else (0, 2)), done.err
    if counted:
        assert "Budget reached before the next call" in done.err
        assert events[-1]["status"] == "budget"
    else:
        assert done.event("run.finished")["totals"]["cost_nanousd"] == 1000 * 1000 + 100 * 10_000


@pytest.mark.parametrize(
    ("wire", "finish"),
    [("openai-chat", "content_filter"), ("anthropic-messages", "refusal"), ("gemini-generate", "SAFETY")],
)
def test_an_answer_that_was_filtered_is_no_success(wire: str, finish: str, tmp_path: Path) -> None:
    world = World(tmp_path)
    with ScriptedProvider([Answer(text="I can", finish=finish)]) as provider:
        done = run(world, provider.base_url, wire)
    finished = done.event("run.finished")
    assert (done.code, finished["status"]) == (1, "failed")
    assert finished["error"]["message"].startswith("the model refused: ")
    assert finish in finished["error"]["message"]


@pytest.mark.parametrize(
    ("prices", "cost", "version"),
    [
        ({}, 1_234_567, "the provider's bill"),
        ({"perplexity/scripted": {"input": 1.0, "output": 10.0}}, 100 * 1000 + 10 * 10_000, "settings"),
    ],
    ids=["a model without a known price", "a price of the user's own"],
)
def test_the_bill_of_the_provider_counts_where_the_user_gave_no_price(
    prices: dict[str, Any], cost: int, version: str, tmp_path: Path
) -> None:
    bill = {"total_cost": 0.001234567, "currency": "USD"}
    usage = {"input_tokens": 100, "output_tokens": 10, "total_tokens": 110, "cost": bill}
    world = World(tmp_path)
    set_prices(world, prices)
    with ScriptedProvider([Answer(text="Done.", usage=usage)]) as provider:
        done = run(world, provider.base_url, "openai-responses")
    assert done.code == 0, done.err
    totals = done.event("run.finished")["totals"]
    assert (totals["cost_nanousd"], totals["unpriced_turns"]) == (cost, 0)
    (events,) = journals(world)
    (turn,) = of_type(events, "turn")
    assert (turn["cost_nanousd"], turn["price_version"]) == (cost, version)
