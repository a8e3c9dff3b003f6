"""The order of ONTAP releases. Pure.

``9.9.1 < 9.10.1`` and ``9.14.1X5 < 9.14.1RC1 < 9.14.1 < 9.14.1P2 < 9.14.1P2D1 < 9.14.1P10``.

Source: NetApp's version scheme: a release, then X (engineering build), RC (release candidate), none (general
availability) or P (patch) with a number, and D for a build made for one customer on top of any of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum

_RELEASE = re.compile(
    r"""(?P<numbers>\d{1,4}(?:\.\d{1,4}){1,3})
        (?:(?P<stage>X|RC|P)(?P<stage_number>\d{1,6}))?
        (?:D(?P<build>\d{1,6}))?""",
    re.VERBOSE | re.ASCII,
)
_NUMBERS = 4


class Stage(IntEnum):
    """The stages of a release, in the order of time."""

    ENGINEERING = 0  # X: built before the release candidates
    CANDIDATE = 1  # RC
    GENERAL = 2  # no letter: general availability
    PATCH = 3  # P


_STAGES = {"X": Stage.ENGINEERING, "RC": Stage.CANDIDATE, None: Stage.GENERAL, "P": Stage.PATCH}


@dataclass(frozen=True, slots=True, order=True)
class Release:
    """A version that could be parsed; compares in the order of releases."""

    numbers: tuple[int, ...]
    stage: Stage
    stage_number: int
    build: int

    @property
    def train(self) -> str:
        """The release train, for example ``9.14``."""
        return f"{self.numbers[0]}.{self.numbers[1]}"

    @property
    def sort_key(self) -> str:
        """A text that sorts, letter by letter, as releases do."""
        numbers = ".".join(f"{number:04}" for number in self.numbers)
        return f"{numbers}.{self.stage:d}.{self.stage_number:06}.{self.build:06}"


def parse_release(version: str) -> Release | None:
    """Return the release that a version names; None if the version cannot be parsed.

    ``9.7`` and ``9.7.0`` are the same release.
    """
    match = _RELEASE.fullmatch(version)
    if match is None:
        return None
    numbers = tuple(int(number) for number in match["numbers"].split("."))
    return Release(
        numbers=numbers + (0,) * (_NUMBERS - len(numbers)),
        stage=_STAGES[match["stage"]],
        stage_number=int(match["stage_number"] or 0),
        build=int(match["build"] or 0),
    )
