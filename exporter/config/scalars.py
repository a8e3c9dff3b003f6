"""What a single YAML value means: its type, and the environment variables in it.

YAML 1.1 as Prometheus's readers know it, save for its surprises: dates, base-60 numbers (``1:30``) and
numbers with a leading zero or another base stay text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

ScalarValue = str | int | float | bool | None

_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS: Final = {
    spelling: value
    for word, value in {
        "true": True,
        "yes": True,
        "on": True,
        "false": False,
        "no": False,
        "off": False,
    }.items()
    for spelling in (word, word.capitalize(), word.upper())
}
_INTEGER: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT: Final = re.compile(
    r"[-+]?[0-9]+\.[0-9]*(?:[eE][-+][0-9]+)?|[-+]?\.[0-9]+(?:[eE][-+][0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_MOST_DIGITS: Final = 400

_VARIABLE: Final = re.compile(r"\$\$|\$\{([^}]*)\}|\$\{.*", re.DOTALL)
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def plain_value(text: str) -> ScalarValue:
    """Return what an unquoted value means.

    Raises:
        ValueError: a number of absurd length.
    """
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if text[0] not in "0123456789+-.":
        return text
    if _INTEGER.fullmatch(text):
        if len(text) > _MOST_DIGITS:
            raise ValueError(f"a number of more than {_MOST_DIGITS} digits")
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text


def expand(text: str, environ: Mapping[str, str]) -> str:
    """Put environment variables in place of ``${NAME}``, and ``$`` in place of ``$$``.

    Raises:
        ValueError: with everything that is wrong, and no part of a value.
    """
    wrong: list[str] = []

    def replacement(match: re.Match[str]) -> str:
        name = match[1]
        if match[0] == "$$":
            return "$"
        if name is None:
            wrong.append("${ without a closing }; write $${ for a literal ${")
        elif not _NAME.fullmatch(name):
            wrong.append("${...} holds no variable's name; write $${ for a literal ${")
        elif name not in environ:
            wrong.append(f"the environment variable {name} is not set")
        else:
            return environ[name]
        return ""

    expanded = _VARIABLE.sub(replacement, text) if "$" in text else text
    if "\0" in expanded:
        wrong.append("a NUL character in a value")
    if not expanded.isascii() and _SURROGATE.search(expanded):
        wrong.append("a value that is not Unicode text")
    if wrong:
        raise ValueError("; ".join(wrong))
    return expanded


def has_variable(text: str) -> bool:
    """Tell whether :func:`expand` puts the value of an environment variable into ``text``."""
    return "$" in text and any(match[1] is not None for match in _VARIABLE.finditer(text))


def escape(text: str) -> str:
    """Return what :func:`expand` turns back into ``text``."""
    return text.replace("$", "$$")
