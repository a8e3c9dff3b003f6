"""A benchmark that a busy machine spoils is neither good nor bad: it runs once more, and then says so."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.processes import NotMeasuredError
from benchmarks.run import Results


def section(results: Results, *figures: float, noise: float = 0.0) -> Callable[[], None]:
    """Return a section that finds one figure after the other, a new one each time; below 0: none at all."""
    left = list(figures)

    def measure() -> None:
        if (figure := left.pop(0)) < 0:
            raise NotMeasuredError("94 polls failed, the first one: timeout")
        results.limit("cost", figure, 1.0, noise=noise)

    return measure


@pytest.mark.parametrize(
    ("figures", "noise", "too_large", "not_measured"),
    [
        ([0.9], 0.0, [], []),
        ([2.0, 0.9], 0.0, [], []),
        ([2.0, 2.0], 0.0, ["cost"], []),
        ([2.0, 2.0], 1.2, [], ["cost: 2.000, of which a busy machine made 1.200"]),
        ([-1, 0.9], 0.0, [], []),
        ([-1, -1], 0.0, [], ["94 polls failed, the first one: timeout"]),
        ([-1, 2.0], 0.0, ["cost"], []),
    ],
)
def test_what_could_not_be_measured_twice_is_said_with_its_reason(
    figures: list[float],
    noise: float,
    too_large: list[str],
    not_measured: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    results = Results()
    results.measure(section(results, *figures, noise=noise))
    assert (results.too_large, results.not_measured) == (too_large, not_measured)
    said = capsys.readouterr().out
    assert all(f"not measured: {why}\n" in said for why in not_measured)
    assert ("TOO LARGE" in said) == bool(too_large)
