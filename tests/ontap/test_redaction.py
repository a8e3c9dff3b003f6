"""A secret is redacted in every spelling in which a cluster may echo it, and nothing else is redacted."""

from __future__ import annotations

import base64
import json
import urllib.parse
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.ontap.redaction import LONGEST_TEXT_CHARACTERS, REDACTED, redact, spellings

WRITERS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON in UTF-8": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "JSON with escaped slashes": lambda text: json.dumps(text)[1:-1].replace("/", r"\/"),
    "a URL": lambda text: urllib.parse.quote(text, safe=""),
    "a form": urllib.parse.quote_plus,
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 in a URL": lambda text: urllib.parse.quote(base64.b64encode(text.encode()).decode(), safe=""),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
}
SECRETS = [
    "S3cretPassw0rdThatIsLong",
    "it's\\my\\p\"ssword'",
    "pässwörd\u200bgeheim€🔑🔑",
    "a/b+c=<&> d\te",
    "密码密码",
]


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_is_found_in_each_spelling(secret: str, writer: str) -> None:
    written = WRITERS[writer](secret)
    assert redact(f"<{written}>, <{written}>", spellings([secret])) == f"<{REDACTED}>, <{REDACTED}>"


@given(
    secret=st.text(st.characters(exclude_categories=["Cs"]), min_size=4), writer=st.sampled_from([*WRITERS])
)
def test_any_secret_is_found(secret: str, writer: str) -> None:
    assert redact(WRITERS[writer](secret), spellings([secret])) == REDACTED


@pytest.mark.parametrize("written", [r"\u00FC\u00e4\u00DFen", "%c3%bc%C3%A4%c3%9fen"])
def test_the_case_of_escapes_counts_only_if_it_is_mixed(written: str) -> None:
    spelled = spellings(["üäßen"])
    assert redact(written.lower(), spelled) == REDACTED
    assert redact(written, spelled) == written


@given(text=st.text(max_size=100), secret=st.from_regex(r"[0-9A-Za-z]{4,8}", fullmatch=True))
def test_a_text_without_the_secret_stays_as_it_is(text: str, secret: str) -> None:
    assert (redact(text, spellings([secret])) == text) == (secret not in text)


def test_the_longest_of_secrets_that_begin_alike_is_redacted_whole() -> None:
    spelled = spellings(["abcd", "Basic abcd==", "abcd=="])
    assert redact("Basic abcd== and abcd", spelled) == "<secret> and <secret>"


def test_a_very_short_secret_is_not_redacted() -> None:
    assert redact("abc", spellings(["abc", ""])) == "abc"


@pytest.mark.parametrize("position", range(LONGEST_TEXT_CHARACTERS - 30, LONGEST_TEXT_CHARACTERS + 1))
def test_a_text_that_is_too_long_is_not_cut_within_a_secret(position: int) -> None:
    text = "." * position + SECRETS[0] + "." * 1000
    redacted = redact(text, spellings([SECRETS[0]]))
    assert "S3" not in redacted
    assert len(redacted) > 60_000
