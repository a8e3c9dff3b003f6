"""The parts of an exposition as text: headers, labels and numbers.

Sample lines are the same in both formats; only the headers and the end differ.

Source: Prometheus's text format 0.0.4 and OpenMetrics 1.0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum

from prometheus_client.utils import floatToGoString

from exporter.metrics.family import Kind, Row, S

_LONGEST_PLAIN_DIGITS = 6
_THOUSANDTHS = tuple(repr(number / 1000)[2:] for number in range(1000))
_VALUE_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


class Format(StrEnum):
    """The formats that Prometheus scrapes; the value is the content type."""

    TEXT = "text/plain; version=0.0.4; charset=utf-8"  # understood by every Prometheus
    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"  # what Prometheus asks for


def base_name(row: Row[S]) -> str:
    """Return the name of the metric in OpenMetrics: a counter has no ``_total``, only its samples have."""
    return row.name.removesuffix("_total") if row.kind is Kind.COUNTER else row.name


def header(row: Row[S], form: Format) -> bytes:
    """Return the comment lines of a metric."""
    name = row.name if form is Format.TEXT else base_name(row)
    lines = f"# HELP {name} {row.help}\n# TYPE {name} {row.kind}\n"
    if form is Format.OPENMETRICS and name.endswith("_seconds"):
        lines += f"# UNIT {name} seconds\n"
    return lines.encode()


def number(value: float) -> str:
    """Write a number as Prometheus's own libraries do."""
    written: str = floatToGoString(value)  # type: ignore[no-untyped-call]
    return written


def ages(since_milliseconds: Iterable[int], now_milliseconds: int) -> Iterator[str]:
    """Write how many seconds ago each time was, at least 0, in the form of :func:`number`.

    A scrape has very many ages, so this function is fast: it divides and writes whole numbers, which is
    faster than with floats.
    """
    for moment in since_milliseconds:
        age = now_milliseconds - moment
        if age <= 0:
            yield "0.0"
            continue
        whole, fraction = str(age // 1000), _THOUSANDTHS[age % 1000]
        digits = len(whole)
        if digits <= _LONGEST_PLAIN_DIGITS:
            yield f"{whole}.{fraction}"
        else:
            yield f"{f'{whole[0]}.{whole[1:]}{fraction}'.rstrip('0.')}e+{digits - 1:02}"


def line_template(name: str, fixed: Iterable[tuple[str, str]], own: Iterable[str]) -> str:
    """Return a sample line up to its value, with ``%s`` for the value of each of the row's own labels.

    All labels are in alphabetical order, and so must be the own ones.
    """
    labels = {key: escaped(value).replace("%", "%%") for key, value in fixed} | dict.fromkeys(own, "%s")
    written = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    return f"{name}{{{written}}} " if written else f"{name} "


def escaped(label_value: str) -> str:
    """Return a label's value as it is written between its quotes."""
    return label_value.translate(_VALUE_ESCAPES)
