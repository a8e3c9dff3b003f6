"""A secret is found however it is written, at whatever place, and nothing else is taken for one."""

from __future__ import annotations

import html
import json
import time
import urllib.parse
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.ontap.redaction import LONGEST_TEXT_CHARACTERS, REDACTED, redact

WRITERS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON in UTF-8": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "JSON in JSON": lambda text: json.dumps(json.dumps(text)[1:-1])[1:-1],
    "JSON for HTML": lambda text: json.dumps(text)[1:-1].replace("/", r"\/").replace("<", r"\u003C"),
    "repr": lambda text: repr(text)[1:-1],
    "repr of JSON": lambda text: repr(json.dumps(text)[1:-1])[1:-1],
    "repr of bytes": lambda text: repr(text.encode())[2:-1],
    "HTML": html.escape,
    "XML in ASCII": lambda text: text.encode("ascii", "xmlcharrefreplace").decode(),
    "a URL": lambda text: urllib.parse.quote(text, safe=""),
    "a URL in a URL": lambda text: urllib.parse.quote(urllib.parse.quote(text, safe=""), safe=""),
    "a form": urllib.parse.quote_plus,
    "ASCII": lambda text: text.encode("ascii", "replace").decode(),
    "Latin-1 taken for UTF-8": lambda text: text.encode("latin-1", "replace").decode("utf-8", "replace"),
    "UTF-8 taken for Latin-1": lambda text: text.encode().decode("latin-1"),
}
SECRETS = [
    "S3cretPassw0rdThatIsLong",
    "it's\\my\\p\"ssword'",
    "pässwörd\u200bgeheim€🔑🔑",
    "a/b+c=<&> d\te",
    '\\\\\\"x',
    "密码密码",
]


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_is_found_however_it_is_written(secret: str, writer: str) -> None:
    written = WRITERS[writer](secret)
    assert redact(f"<{written}>, <{written}>", [secret]) == f"<{REDACTED}>, <{REDACTED}>"


@given(
    secret=st.text(st.characters(exclude_categories=["Cs"]), min_size=4), writer=st.sampled_from([*WRITERS])
)
def test_any_secret_is_found(secret: str, writer: str) -> None:
    assert redact(WRITERS[writer](secret), [secret]) == REDACTED


@given(text=st.text(max_size=100), secret=st.from_regex(r"[0-9A-Za-z]{4,8}", fullmatch=True))
def test_a_text_without_the_secret_stays_as_it_is(text: str, secret: str) -> None:
    assert (redact(text, [secret]) == text) == (secret not in text)


def test_the_longest_of_secrets_that_begin_alike_is_redacted_whole() -> None:
    assert redact("Basic abcd== and abcd", ["abcd", "Basic abcd==", "abcd=="]) == "<secret> and <secret>"


@pytest.mark.parametrize("place", range(LONGEST_TEXT_CHARACTERS - 30, LONGEST_TEXT_CHARACTERS + 1))
def test_a_text_that_is_too_long_is_not_cut_within_a_secret(place: int) -> None:
    text = "." * place + SECRETS[0] + "." * 1000
    redacted = redact(text, [SECRETS[0]])
    assert "S3" not in redacted
    assert len(redacted) > 60_000


@pytest.mark.parametrize("filling", ["\\", "\ufffd", "%25", "&#0", "a", "?", "u005c"])
@pytest.mark.parametrize("secret", ["\\\\\\\\\\a", "密码密码密码ab", "%%%%%%a", "a\\" * 30 + "b", "&&&&&&;"])
def test_no_text_makes_the_search_slow(secret: str, filling: str) -> None:
    begun = time.process_time()
    redact(filling * 8_000_000, [secret])
    assert time.process_time() - begun < 2.0
