"""A cluster that refuses the credentials is left alone for longer and longer."""

from __future__ import annotations

from exporter.ontap.refusals import Refusals, pause_after_unauthorized


def test_pauses_after_a_refusal_double_from_a_minute_to_an_hour() -> None:
    pauses = [pause_after_unauthorized(refusals) for refusals in (1, 2, 3, 4, 5, 6, 7, 8, 10_000)]
    assert pauses == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]


def test_refusals_in_a_row_stretch_the_pause_until_they_are_forgotten() -> None:
    refusals = Refusals()
    refusals.add(1000)
    refusals.add(1060)
    assert (refusals.in_a_row, refusals.paused_until) == (2, 1180)
    refusals.clear()
    refusals.add(2000)
    assert refusals.paused_until == 2060
