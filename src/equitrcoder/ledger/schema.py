"""The tables of the index. A change here is a new VERSION: the index is made anew from the journals, never migrated.

Statistics (`cells.py`): `run_statistics` has a row per run, quarter of an hour, tool and actor, written with the calls
that it counts. `statistics` adds up finished runs for what is asked most: always, by month and by day; all, by tool,
model, provider, agent and role; and each tool with each actor. Which runs are not in it yet, `unfolded` says.
"""

from __future__ import annotations

VERSION = 3
APPLICATION_ID = 0x45515452  # "EQTR"

SUMS = (
    *("success", "failed", "invalid", "denied", "cancelled", "timeout", "interrupted", "unknown"),  # closed calls
    *("timed", "duration_us"),  # how many calls have a known duration, and their sum
    "unpriced_requests",  # that gave no answer and may be charged for, nobody knows how much
    *("turns", "unpriced_turns", "input_tokens", "cached_read_tokens", "cache_write_tokens", "output_tokens"),
    *("reasoning_tokens", "cost_nanousd"),  # cost: of answers, and of requests that failed
)
"""Columns of the statistics that add up. Figures of answers stand in rows without a tool (tool_name '')."""

_SUMS = ",\n    ".join(f"{name} INTEGER NOT NULL" for name in SUMS)

TABLES = f"""
CREATE TABLE progress (name TEXT PRIMARY KEY, value INTEGER NOT NULL, text TEXT NOT NULL DEFAULT '') WITHOUT ROWID;

CREATE TABLE journals (
    run_id TEXT PRIMARY KEY,
    path TEXT NOT NULL,
    number INTEGER NOT NULL,             -- place of the run's first line in runs.jsonl: an order free of clocks
    offset INTEGER NOT NULL DEFAULT 0,   -- read so far
    seq INTEGER NOT NULL DEFAULT 0,
    last_hash TEXT NOT NULL DEFAULT '',
    clock TEXT NOT NULL,                 -- the latest time seen in the run: order_at never goes back
    finished INTEGER NOT NULL DEFAULT 0,
    registered_entries INTEGER,
    registered_last TEXT,
    registered_status TEXT
) WITHOUT ROWID;
CREATE INDEX journals_unfinished ON journals (number) WHERE finished = 0 OR registered_entries IS NULL;

CREATE TABLE agent_runs (
    run_id TEXT PRIMARY KEY,
    number INTEGER NOT NULL,
    session_id TEXT NOT NULL,
    parent_run_id TEXT,
    previous_run_id TEXT,
    agent_role TEXT NOT NULL,
    agent_name TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    provider TEXT NOT NULL,
    model_requested TEXT NOT NULL,
    model_answered TEXT,
    capture TEXT NOT NULL,
    repo_path TEXT NOT NULL DEFAULT '',
    task TEXT NOT NULL DEFAULT '',
    status TEXT NOT NULL DEFAULT 'running',
    started_at TEXT NOT NULL,
    completed_at TEXT,
    response TEXT,
    error TEXT,
    error_type TEXT,
    steps_taken INTEGER NOT NULL DEFAULT 0,
    calls INTEGER NOT NULL DEFAULT 0,
    failed_calls INTEGER NOT NULL DEFAULT 0,
    input_tokens INTEGER NOT NULL DEFAULT 0,
    cached_read_tokens INTEGER NOT NULL DEFAULT 0,
    output_tokens INTEGER NOT NULL DEFAULT 0,
    reasoning_tokens INTEGER NOT NULL DEFAULT 0,
    cost_nanousd INTEGER NOT NULL DEFAULT 0,
    unpriced_turns INTEGER NOT NULL DEFAULT 0,
    unpriced_requests INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX agent_runs_number ON agent_runs (number);
CREATE INDEX agent_runs_session ON agent_runs (session_id, number);
CREATE INDEX agent_runs_tail ON agent_runs (substr(run_id, -4));
CREATE INDEX agent_runs_provider ON agent_runs (provider, number);
CREATE INDEX agent_runs_status ON agent_runs (status, number);
CREATE INDEX agent_runs_repo ON agent_runs (repo_path, number);

CREATE TABLE model_turns (
    run_id TEXT NOT NULL,
    step INTEGER NOT NULL,
    at TEXT NOT NULL,
    model_answered TEXT,
    input_tokens INTEGER,
    cached_read_tokens INTEGER,
    cache_write_tokens INTEGER,
    output_tokens INTEGER,
    reasoning_tokens INTEGER,
    finish TEXT,
    duration_ms REAL,
    time_to_first_byte_ms REAL,
    attempts INTEGER NOT NULL,
    cost_nanousd INTEGER,
    price_version TEXT,
    text TEXT NOT NULL,
    calls INTEGER NOT NULL,
    PRIMARY KEY (run_id, step)
);

CREATE TABLE tool_calls (
    call_uid TEXT NOT NULL,
    run_id TEXT NOT NULL,
    ordinal INTEGER NOT NULL,
    step INTEGER NOT NULL,
    position INTEGER NOT NULL,
    provider_call_id TEXT,
    tool_name TEXT NOT NULL,
    tool_kind TEXT NOT NULL,
    executed_by TEXT NOT NULL,
    actor INTEGER NOT NULL,              -- who asked for it: actors.id
    arguments TEXT,                      -- JSON
    arguments_form INTEGER NOT NULL,     -- 0 none, 1 whole, 2 in the journal
    arguments_raw TEXT,                  -- the same forms, in arguments_raw_form
    arguments_raw_form INTEGER NOT NULL,
    result TEXT,
    result_form INTEGER NOT NULL DEFAULT 0,  -- 0 none, 1 whole text, 2 whole JSON, 3 first part of a text, 4 of JSON
    result_metadata TEXT,
    result_bytes INTEGER,
    result_sha256 TEXT,
    truncated_to INTEGER,
    outcome TEXT NOT NULL DEFAULT 'requested',
    error_type TEXT,
    error_message TEXT,
    requested_at TEXT NOT NULL,
    order_at TEXT NOT NULL,              -- requested_at, but never before what came earlier
    run_number INTEGER NOT NULL,
    started_at TEXT,
    ended_at TEXT,
    duration_ms REAL,
    duration_source TEXT NOT NULL DEFAULT 'unknown',
    approval TEXT NOT NULL DEFAULT 'auto',
    sandbox TEXT NOT NULL DEFAULT 'not_applicable',
    redactions TEXT,
    requested_offset INTEGER,            -- place of the entries in the journal, for what is not here
    requested_length INTEGER,
    finished_offset INTEGER,
    finished_length INTEGER
);
CREATE UNIQUE INDEX tool_calls_uid ON tool_calls (call_uid);
CREATE INDEX tool_calls_run ON tool_calls (run_id, order_at, run_number, ordinal);
CREATE INDEX tool_calls_order ON tool_calls (order_at, run_number, ordinal);
CREATE INDEX tool_calls_chosen ON tool_calls (tool_name, outcome, actor, order_at, run_number, ordinal);

CREATE TABLE damage (
    path TEXT NOT NULL,
    offset INTEGER NOT NULL,
    what TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (path, offset, what)
) WITHOUT ROWID;

CREATE TABLE actors (                    -- who asks: a role of an agent, and the model that answered it
    id INTEGER PRIMARY KEY,              -- made from what follows, the same in every index
    provider TEXT NOT NULL,
    model_requested TEXT NOT NULL,
    model_answered TEXT NOT NULL,        -- '' when it is not known
    agent_role TEXT NOT NULL,
    agent_name TEXT NOT NULL
);

CREATE TABLE run_statistics (
    run_number INTEGER NOT NULL,
    quarter INTEGER NOT NULL,            -- hours of UTC times 4, since 1970
    tool_name TEXT NOT NULL,
    actor INTEGER NOT NULL,
    {_SUMS},
    sketch BLOB NOT NULL,                -- durations, see sketch.py
    PRIMARY KEY (run_number, quarter, tool_name, actor)
) WITHOUT ROWID;

CREATE TABLE statistics (
    grouping TEXT NOT NULL,              -- all tool model provider agent role each
    period TEXT NOT NULL,                -- '' always, m2026-01 a month, d2026-01-31 a day, of a zone
    name TEXT NOT NULL,                  -- the tool, the model, ...
    actor INTEGER NOT NULL,              -- for each, else 0
    {_SUMS},
    sketch BLOB NOT NULL,
    PRIMARY KEY (grouping, period, name, actor)
) WITHOUT ROWID;

CREATE TABLE unfolded (run_number INTEGER PRIMARY KEY);
CREATE TABLE zone (number INTEGER NOT NULL  -- whose days the statistics are by, see days.py
);

CREATE TABLE tombstones (                -- runs that were pruned or deleted; their statistics stay
    run_id TEXT PRIMARY KEY,
    number INTEGER NOT NULL,
    session_id TEXT NOT NULL,
    path TEXT NOT NULL,
    at TEXT NOT NULL,
    why TEXT NOT NULL,
    calls INTEGER NOT NULL,
    entries INTEGER NOT NULL,
    last_hash TEXT NOT NULL,
    bytes INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX tombstones_session ON tombstones (session_id);
"""
