from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.reading.document import escape, expand
from exporter.config.reading.yaml_source import ScalarValue, plain_value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("No", False),
        ("ON", True),
        ("0", 0),
        ("-7", -7),
        ("1.5", 1.5),
        ("-.inf", -inf),
        ("1.0e+3", 1000.0),
        ("9.14.1P2", "9.14.1P2"),
        ("10.20.0.5", "10.20.0.5"),
        ("2026-01-31", "2026-01-31"),
        ("1:30", "1:30"),
        ("010", "010"),
        ("0x10", "0x10"),
        ("yEs", "yEs"),
    ],
)
def test_unquoted_value_has_its_type(text: str, value: ScalarValue) -> None:
    assert plain_value(text) == value
    assert type(plain_value(text)) is type(value)


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("${SITE}", "ams"),
        ("a ${SITE}-${SITE} b", "a ams-ams b"),
        ("$SITE $1 $", "$SITE $1 $"),
        ("$$", "$"),
        ("$${SITE}", "${SITE}"),
        ("$$${SITE}", "$ams"),
        ("${DOLLAR}", "${SITE}"),
        ("${EMPTY}", ""),
    ],
)
def test_variables_are_put_in_once(text: str, expanded: str) -> None:
    environ = {"SITE": "ams", "DOLLAR": "${SITE}", "EMPTY": ""}
    assert expand(text, environ) == expanded


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${SITE}", "the environment variable SITE is not set"),
        ("${A} ${B}", "the environment variable A is not set; the environment variable B is not set"),
        ("${", "${ without a closing }; write $${ for a literal ${"),
        ("${}", "${...} holds no variable's name; write $${ for a literal ${"),
        ("${SITE:-ams}", "${...} holds no variable's name; write $${ for a literal ${"),
        ("a\0b", "a NUL character in a value"),
        ("${BYTES}", "a value that is not Unicode text"),
    ],
)
def test_a_variable_that_cannot_be_replaced_is_reported(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        expand(text, {"BYTES": "\udcff"})
    assert str(caught.value) == message


def test_many_unterminated_variables_are_reported_at_once() -> None:
    with pytest.raises(ValueError, match="without a closing"):
        expand("${" * 1_000_000, {})


@given(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_escaped_text_expands_to_itself(text: str) -> None:
    assert expand(escape(text), {}) == text
