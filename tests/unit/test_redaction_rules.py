"""The rule table: its form, that every key of every format is found, and that nothing else is."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sysconfig
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from re import _constants as constants
from re import _parser as parser
from typing import Any
from urllib.parse import quote

import pytest

from equitrcoder.ledger import Redactor, redaction_finder, redaction_formats, redaction_named, redaction_stream
from tests.redaction_keys import FORMATS, make_key

REDACTOR = Redactor()
KEYS_PER_FORMAT = 12
DOCS = Path(__file__).parents[2] / "docs"

CONTEXTS = {
    "bare": "{}",
    "line end": "first\n{}\nlast",
    "crlf": "a: {}\r\nb",
    "log": "2026-11-20T10:00:00Z INFO worker-3 got {} from upstream",
    "sentence": "Use {}, then go on.",
    "shell": "export SOME_THING={} && run",
    "single quoted": "curl -H 'X-Thing: {}' https://example.com",
    "double quoted": 'value = "{}"',
    "backticks": "`{}`",
    "brackets": "f({}) [{}] <{}>",
    "query": "https://example.com/v1?thing={}&page=2",
    "escaped": "line\\n{}\\nline",
    "url-encoded": "q%3D{}%26x",
    "coloured": "\x1b[31m{}\x1b[0m",
    "yaml": "thing: {}\n",
    "list": "a,{},b;{}|c",
    "umlaut": "ü {} ü",
}


@pytest.mark.parametrize("format_", FORMATS, ids=lambda one: f"{one.name} {one.written[:30]}")
def test_every_key_is_found_in_every_context(format_: redaction_formats.Format) -> None:
    random = Random(format_.written)
    for _ in range(KEYS_PER_FORMAT):
        key = make_key(format_, random)
        for name, context in CONTEXTS.items():
            text = context.replace("{}", key)
            shown, counts = REDACTOR.text(text)
            assert key not in shown, (name, key, shown)
            assert sum(counts.values()) >= 1
            assert _left(key, shown) < 12, (name, key, shown)
        nested = {"log": json.dumps({"inner": f"x\n{key}\n"}), "list": [key], key: 1}
        stored, _ = REDACTOR.json(nested)
        assert key not in json.dumps(stored)


def _left(key: str, shown: str) -> int:
    """How many characters of the key's end are still to be seen."""
    return max((length for length in range(1, len(key)) if key[-length:] in shown), default=0)


SAMPLES = {
    "github-token": ["ghp_", "gho_", "ghu_", "ghs_", "ghr_"],
    "gitlab-token": ["glpat-", "gldt-", "glrt-", "glft-", "glsoat-"],
    "anthropic-key": ["sk-ant-api03-", "sk-ant-admin01-", "sk-ant-oat01-"],
    "openai-key": ["sk-proj-", "sk-svcacct-", "sk-admin-"],
    "google-api-key": ["AIza"],
    "google-auth-key": ["AQ."],
    "groq-key": ["gsk_"],
    "perplexity-key": ["pplx-"],
    "fireworks-key": ["fw_"],
    "huggingface-token": ["hf_"],
    "replicate-token": ["r8_"],
    "anyscale-key": ["esecret_"],
    "together-key": ["tgp_v1_"],
    "aws-access-key": ["AKIA", "ASIA"],
    "digitalocean-token": ["dop_v1_", "doo_v1_", "dor_v1_"],
    "alibaba-access-key": ["LTAI"],
    "cloudflare-token": ["cfut_", "cfat_", "cfk_"],
    "npm-token": ["npm_"],
    "pypi-token": ["pypi-AgEIcHlwaS5vcmc"],
    "rubygems-key": ["rubygems_"],
    "crates-token": ["cio"],
    "nuget-key": ["oy2"],
    "slack-token": ["xoxb-", "xoxp-", "xoxa-", "xapp-1-"],
    "stripe-key": ["sk_live_", "rk_live_", "sk_test_"],
    "stripe-webhook-secret": ["whsec_"],
    "shopify-token": ["shpat_", "shpca_", "shppa_", "shpss_"],
    "mailgun-key": ["key-"],
    "grafana-token": ["glc_"],
    "vault-token": ["hvs.", "hvb."],
    "linear-key": ["lin_api_"],
    "databricks-token": ["dapi"],
    "doppler-token": ["dp.pt."],
    "twilio-key": ["SK"],
    "vercel-token": ["vcp_", "vck_"],
    "buildkite-token": ["bkua_"],
    "docker-token": ["dckr_pat_"],
    "posthog-key": ["phx_", "pha_"],
    "xai-key": ["xai-"],
    "neon-key": ["napi_"],
    "nvidia-key": ["nvapi-"],
    "pinecone-key": ["pcsk_"],
    "honeycomb-key": ["hcaik_", "hcxik_"],
    "cerebras-key": ["csk-"],
    "sonarqube-token": ["sqp_", "squ_", "sqa_"],
    "netlify-token": ["nfp_"],
    "devin-key": ["cog_"],
    "tavily-key": ["tvly-"],
    "tencent-secret-id": ["AKID"],
    "supabase-key": ["sb_secret_"],
}
"""What keys of a rule begin with, written down apart from the table."""
LENGTHS = {"aws-access-key": 16, "google-api-key": 35, "alibaba-access-key": 20, "huggingface-token": 34}
LENGTHS |= {"replicate-token": 37, "groq-key": 52, "npm-token": 36, "nuget-key": 43, "anthropic-key": 95}
LENGTHS |= {"twilio-key": 32, "databricks-token": 32, "crates-token": 32, "mailgun-key": 32, "shopify-token": 32}
LENGTHS |= {"digitalocean-token": 64, "pypi-token": 120, "fireworks-key": 24, "gitlab-token": 20, "github-token": 36}
LENGTHS |= {"vercel-token": 56, "buildkite-token": 53, "docker-token": 27, "posthog-key": 43, "xai-key": 80}
LENGTHS |= {"neon-key": 64, "nvidia-key": 64, "pinecone-key": 69, "honeycomb-key": 58, "sonarqube-token": 40}
LENGTHS |= {"netlify-token": 40, "devin-key": 52, "tavily-key": 32, "tencent-secret-id": 32, "supabase-key": 31}
HEXADECIMAL = {"twilio-key", "databricks-token", "mailgun-key", "shopify-token", "digitalocean-token", "rubygems-key"}


@pytest.mark.parametrize("rule", SAMPLES)
def test_keys_that_are_not_made_from_the_table_are_found(rule: str) -> None:
    random = Random(rule)
    letters = "0123456789abcdef" if rule in HEXADECIMAL else "abcdefghijklmnopqrstuvwxyz234567"
    for prefix in SAMPLES[rule]:
        rest = "".join(random.choices(letters, k=LENGTHS.get(rule, 48)))
        key = prefix + (rest.upper() if rule == "aws-access-key" else rest)
        assert REDACTOR.text(f"with {key} in it") == (f"with [redacted:{rule}] in it", {rule: 1}), key


def test_the_mark_names_the_rule() -> None:
    key = make_key(next(one for one in FORMATS if one.name == "github-token"), Random(1))
    assert REDACTOR.text(f"x {key}\n") == ("x [redacted:github-token]\n", {"github-token": 1})
    assert REDACTOR.json({"a": [key, key]})[1] == {"github-token": 2}


def test_each_line_says_how_it_was_checked_and_where() -> None:
    assert len(FORMATS) >= 150
    assert len({format_.written for format_ in FORMATS}) == len(FORMATS)
    for format_ in FORMATS:
        assert re.fullmatch(r"[a-z0-9]+(?:-[a-z0-9]+)*", format_.name)
        assert format_.checked in {"page", "scanner", "unknown"}, format_.written
        assert re.fullmatch(r"https://[a-z0-9.-]+\.[a-z]{2,}/\S*", format_.source), format_.source
        if "/blob/" in format_.source:  # a file of a repository, as it was when it was read
            assert re.search(r"/blob/(?:[0-9a-f]{40}|v[0-9.]+)/", format_.source), format_.source
    prefixes = " ".join(format_.written for format_ in FORMATS)
    for known in ("sk-ant-", "sk-proj-", "AIza", "AQ.", "gsk_", "tgp_", "fw_", "pplx-", "hf_", "r8_", "esecret_"):
        assert known in prefixes


def test_the_docs_say_how_many_lines_were_checked_and_how() -> None:
    lines = Counter(format_.checked for format_ in FORMATS)
    said = (
        f"{len({format_.name for format_ in FORMATS})} rules in {len(FORMATS)} lines: {lines['page']} confirmed by the "
        f"vendor's own page or source, {lines['scanner']} by the table of an independent public scanner, "
        f"{lines['unknown']} by neither (their beginning is unmistakable)"
    )
    assert said in " ".join((DOCS / "ledger.md").read_text(encoding="utf-8").split())


def test_a_format_costs_no_more_than_its_longest_key() -> None:
    for format_ in FORMATS:
        assert sum(piece.at_most for piece in format_.pieces) <= redaction_stream.MOST_HELD_BYTES
        needle = format_.needle
        assert min(map(len, needle.literals)) >= 2
        assert len(needle.literals) <= 128
        if not format_.written.endswith("$"):
            continue
        # Where the length is open, what goes on after the most of it is another word.
        assert _nested(format_.pattern.pattern.decode()) == 0


SEPARATED = "_WORDS"
"""Words with a separator before each but the first: repeated twice over, but there is only one way to read it."""


def test_nothing_repeats_within_something_repeated() -> None:
    looked_at = 0
    for module in (redaction_named, redaction_stream):
        for name, value in vars(module).items():
            if isinstance(value, re.Pattern):
                raw = value.pattern.decode() if isinstance(value.pattern, bytes) else value.pattern
                assert _nested(raw, value.flags & ~re.UNICODE) == int(name == SEPARATED), name
                looked_at += 1
    assert looked_at > 12


def _nested(pattern: str, flags: int = 0) -> int:
    """How many repeats stand within an unbounded or long one."""

    def walk(items: Any, inside: bool) -> Iterator[int]:
        for operation, argument in items:
            if operation in (constants.MAX_REPEAT, constants.MIN_REPEAT):
                _, most, inner = argument
                yield int(inside)
                yield from walk(inner, inside or most > 4)
            elif operation is constants.SUBPATTERN:
                yield from walk(argument[-1], inside)
            elif operation is constants.BRANCH:
                for branch in argument[1]:
                    yield from walk(branch, inside)
            elif operation in (constants.ASSERT, constants.ASSERT_NOT):
                yield from walk(argument[1], inside)

    return sum(walk(parser.parse(pattern, flags), False))


HOSTILE = {
    "key beginnings": "sk-sk-proj-sk-ant-" * 40,
    "one long run": "sk-" + "a1B2c3D4" * 100,
    "many token names": 'token="' * 100 + "password:" * 80,
    "private keys that do not end": "-----BEGIN RSA PRIVATE KEY-----\n" * 25,
    "addresses": "https://a:b" * 70,
    "web tokens": "eyJ" * 250,
    "web tokens with dots": "eyJaaaaaaaaaaa." * 60,
    "headers": "authorization: bearer " * 40,
    "digits": "12345678:AA" * 80,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text_costs_as_much_again_when_it_is_twice_as_long(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work is counted, not timed: what the engine found, and the bytes that each look may read."""
    looked: list[int] = []

    def counted(raw: bytes) -> int:
        looked.clear()
        finder = redaction_finder.Finder({"gsk_1234567890": "KEY"})
        finder.spans(raw)
        looked.append(len(finder.hits(raw)))
        return sum(looked)

    once, twice = counted((text * 20).encode()), counted((text * 40).encode())
    assert once > 0
    assert twice <= 2.1 * once + 4
    assert once <= len(text) * 20  # never more looks than bytes


# What is no secret


def clean_texts() -> dict[str, str]:
    """Text that looks like secrets to somebody who looks too quickly."""
    random = Random(7)
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    hashes = [
        getattr(hashlib, name)(str(number).encode()).hexdigest()
        for name in ("md5", "sha1", "sha256", "sha512")
        for number in range(200)
    ]
    sri = [base64.b64encode(hashlib.sha512(str(n).encode()).digest()).decode() for n in range(200)]
    return {
        "uuids": "\n".join(str(uuid.UUID(int=random.getrandbits(128))) for _ in range(500)),
        "hashes": "\n".join(f"{value}  file{number}.txt" for number, value in enumerate(hashes)),
        "git log": "\n".join(f"commit {value}\nindex {value[:7]}..{value[7:14]} 100644" for value in hashes),
        "lock file": "\n".join(
            f'  "integrity": "sha512-{value}",\n  "resolved": "https://r.example/x"' for value in sri
        ),
        "uv lock": "\n".join(f'hash = "sha256:{value}", size = 12' for value in hashes),
        "image": base64.b64encode(random.randbytes(200_000)).decode(),
        "image, wrapped": base64.encodebytes(random.randbytes(100_000)).decode(),
        "image, urlsafe": base64.urlsafe_b64encode(random.randbytes(100_000)).decode(),
        "minified": "".join(
            f"function {a}({b},{c}){{var {d}={b}.{a}||{{}};return {d}.key={c}?{a}({b}):{d}}}"
            for a, b, c, d in (random.choices(letters, k=4) for _ in range(1000))
        ),
        "css": "".join(
            f".task-list-{n}{{mask-image:url(data:image/svg+xml;base64,{base64.b64encode(random.randbytes(60)).decode()})}}"
            for n in range(300)
        ),
        "logs": "\n".join(
            f"2026-11-20T10:{n % 60:02}:00Z GET /v1/items/{random.getrandbits(64):x}?page_token=abc{n} 200 {n}ms"
            for n in range(500)
        ),
        "placeholders": "\n".join(
            [
                "export GROQ_API_KEY=$GROQ_API_KEY",
                'api_key = os.environ["GROQ_API_KEY"]',
                "password: ${{ secrets.PASSWORD_1 }}",
                'token = "<your token 1 here>"',
                "Authorization: Bearer $TOKEN1234567",
                "https://user:password@example.com",
                "sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
                "self.token = get_token(request2)",
                "password = getpass.getpass()",
                'secret_name = "projects/1/secrets/x1"',
                "-----BEGIN RSA PRIVATE KEY-----",
                "max_tokens: 4096, next_token = 'abc123def456'",
                "token: str | None = None",
            ]
        ),
    }


CLEAN = clean_texts()


@pytest.mark.parametrize("name", CLEAN)
def test_what_is_no_secret_comes_through_unchanged(name: str) -> None:
    assert REDACTOR.text(CLEAN[name]) == (CLEAN[name], {})
    assert REDACTOR.json([CLEAN[name]]) == ([CLEAN[name]], {})


def test_at_most_one_false_redaction_in_100_kb_of_real_code() -> None:
    folder = Path(sysconfig.get_paths()["stdlib"])
    counts: Counter[str] = Counter()
    read = 0
    for path in sorted(folder.rglob("*.py")):
        if "site-packages" in path.parts:
            continue
        raw = path.read_bytes()
        read += len(raw)
        counts.update(span.rule for span in REDACTOR.finder.spans(raw))
    assert read > 10_000_000
    assert sum(counts.values()) <= read / 100_000, counts


# Names, headers, addresses, PEM


FOUND = {
    "DB_PASSWORD=hunter2hunter": "DB_PASSWORD=[redacted:named-secret]",
    "MISTRAL_API_KEY=0aB1cD2eF3gH4iJ5kL6m": "MISTRAL_API_KEY=[redacted:named-secret]",
    '"api_key": "q7w8e9r0t1"': '"api_key": "[redacted:named-secret]"',
    '{\\"password\\": \\"q7w8e9r0t1\\"}': '{\\"password\\": \\"[redacted:named-secret]\\"}',
    "client_secret: 'q7w8e9r0t1'": "client_secret: '[redacted:named-secret]'",
    "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYzz1234key0": (
        "aws_secret_access_key = [redacted:named-secret]"
    ),
    "Authorization: Bearer 9f8e7d6c5b4a": "Authorization: Bearer [redacted:authorization]",
    "authorization: Basic YWRhOnBhc3N3b3JkMQ==": "authorization: Basic [redacted:authorization]",
    "x-api-key: 9f8e7d6c5b4a3f2e": "x-api-key: [redacted:named-secret]",
    "redis://:p4ss-w0rd@cache:6379/0": "redis://:[redacted:url-password]@cache:6379/0",
    "postgresql+psycopg://ada:s3cret@db/x": "postgresql+psycopg://ada:[redacted:url-password]@db/x",
}


@pytest.mark.parametrize("text", FOUND)
def test_secrets_are_known_by_what_stands_beside_them(text: str) -> None:
    assert REDACTOR.text(text)[0] == FOUND[text]
    assert REDACTOR.text(f"before\n{text}\nafter")[0] == f"before\n{FOUND[text]}\nafter"


@pytest.mark.parametrize("key", ["password", "apiKey", "clientSecret", "DB_PASSWORD", "x-api-key", "access_token"])
def test_a_field_is_secret_by_its_name(key: str) -> None:
    value, counts = REDACTOR.json({key: "correct7horse", "other": "correct7horse"})
    assert value == {key: "[redacted:named-secret]", "other": "correct7horse"}
    assert counts == {"named-secret": 1}


@pytest.mark.parametrize("kind", ["RSA ", "", "OPENSSH ", "EC ", "ENCRYPTED ", "PGP "])
@pytest.mark.parametrize("escaped", [False, True])
def test_private_keys_go_as_a_whole(kind: str, escaped: bool) -> None:
    block = " BLOCK" if kind == "PGP " else ""
    body = base64.encodebytes(Random(3).randbytes(900)).decode()
    key = f"-----BEGIN {kind}PRIVATE KEY{block}-----\n{body}-----END {kind}PRIVATE KEY{block}-----"
    key = key.replace("\n", "\\n") if escaped else key
    assert REDACTOR.text(f"a\n{key}\nb") == ("a\n[redacted:private-key]\nb", {"private-key": 1})
    cut = key[: len(key) // 2]
    shown, _ = REDACTOR.text(f"a {cut}")
    assert body[:60] not in shown
    assert body[300:340] not in shown
    service_account = {"type": "service_account", "private_key": key}
    assert REDACTOR.json(service_account)[0] == {"type": "service_account", "private_key": "[redacted:private-key]"}


def test_ids_and_signatures_of_a_providers_message_stay_and_arguments_do_not() -> None:
    key = make_key(FORMATS[0], Random(2))
    native = {
        "id": key,
        "content": [{"type": "tool_use", "id": key, "input": {"id": key, "signature": key}}, {"signature": key}],
    }
    mark = f"[redacted:{FORMATS[0].name}]"
    assert REDACTOR.json(native, native=True)[0] == {
        "id": key,
        "content": [{"type": "tool_use", "id": key, "input": {"id": mark, "signature": mark}}, {"signature": key}],
    }


def test_url_encoded_and_other_forms_are_one_span() -> None:
    assert REDACTOR.text(quote("a=redis://:p4ss-w0rd@h/0", safe="/:@=?"))[1] == {"url-password": 1}
