"""The order of ONTAP releases, and whether a version is in use. Pure.

``9.9.1 < 9.10.1``, ``9.14.1X5 < 9.14.1RC1 < 9.14.1 < 9.14.1P2 < 9.14.1P2D1 < 9.14.1P10``, and
``9.9.1P8 < 9.9.1P9X3 < 9.9.1P9``.

Source: NetApp's version scheme: a release, then X (engineering build), RC (release candidate), none (general
availability) or P (patch) with a number, X for a build before one of these, and D for a build made for one
customer on top of any of them. A build may have a release name: ``Dayblazer__9.5.1``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

_NAME_END = "__"
_RELEASE = re.compile(
    r"""(?:[A-Z][A-Z0-9_-]*__)?
        (?P<numbers>\d{1,4}(?:\.\d{1,4}){1,3})
        (?:(?P<stage>RC|P)(?P<stage_number>\d{1,6}))?
        (?:X(?P<engineering>\d{1,6}))?
        (?:D(?P<build>\d{1,6}))?""",
    re.VERBOSE | re.ASCII | re.IGNORECASE,
)
_NUMBERS = 4


class ReleaseStage(IntEnum):
    """The stages of a release, in the order of time."""

    ENGINEERING = 0  # X alone: built before the release candidates
    CANDIDATE = 1  # RC
    GENERAL = 2  # no letter: general availability
    PATCH = 3  # P


_STAGES = {"RC": ReleaseStage.CANDIDATE, "P": ReleaseStage.PATCH}


@dataclass(frozen=True, slots=True, order=True)
class Release:
    """A version that could be parsed; compares in the order of releases."""

    numbers: tuple[int, ...]
    stage: ReleaseStage
    stage_number: int
    is_released: bool
    """False for an engineering build before a candidate or a patch, such as ``9.9.1P9X3``."""
    engineering: int
    build: int

    @property
    def train(self) -> str:
        """The release train, for example ``9.14``."""
        return f"{self.numbers[0]}.{self.numbers[1]}"

    @property
    def sort_key(self) -> str:
        """A text that sorts, letter by letter, as releases do."""
        numbers = ".".join(f"{number:04}" for number in self.numbers)
        engineering = f"{self.is_released:d}.{self.engineering:06}"
        return f"{numbers}.{self.stage:d}.{self.stage_number:06}.{engineering}.{self.build:06}"


@lru_cache(maxsize=4096)
def parse_release(version: str) -> Release | None:
    """Return the release that a version names; None if the version cannot be parsed.

    ``9.7`` and ``9.7.0`` are the same release, so are ``9.8P1`` and ``9.8p1``. A release name before ``__``
    says nothing about the order.
    """
    match = _RELEASE.fullmatch(version)
    if match is None:
        return None
    numbers = tuple(int(number) for number in match["numbers"].split("."))
    is_released = match["engineering"] is None
    letters = (match["stage"] or "").upper()
    return Release(
        numbers=numbers + (0,) * (_NUMBERS - len(numbers)),
        stage=_STAGES.get(letters, ReleaseStage.GENERAL if is_released else ReleaseStage.ENGINEERING),
        stage_number=int(match["stage_number"] or 0),
        is_released=is_released,
        engineering=int(match["engineering"] or 0),
        build=int(match["build"] or 0),
    )


def version_spellings(version: str) -> frozenset[str]:
    """Return how a version may be written, in capitals: with and without a release name or a last ``.0``."""
    text = _without_name(version)
    found = {version.strip().upper(), text}
    if (match := _RELEASE.fullmatch(text)) is not None:
        numbers, rest = match["numbers"], text[match.end("numbers") :]
        found.add(f"{numbers}.0{rest}" if numbers.count(".") == 1 else f"{numbers.removesuffix('.0')}{rest}")
    return frozenset(found)


@dataclass(frozen=True, slots=True)
class VersionsInUse:
    """Versions that a cluster, a node or a pending update names, ready to be compared.

    This is the only comparison: metrics, plans and pages all use it.
    """

    texts: frozenset[str]
    releases: frozenset[Release]
    are_all_comparable: bool

    def have(self, version: str) -> bool | None:
        """Say whether a version is in use; None if one that is in use cannot be compared with it.

        Two spellings that can mean one release do: any case, trailing zeros, a release name before ``__``.
        """
        text = _without_name(version)
        if text in self.texts or parse_release(text) in self.releases:
            return True
        return False if self.are_all_comparable else None


@lru_cache(maxsize=1024)
def in_use(named: frozenset[str]) -> VersionsInUse:
    """Prepare versions that are in use for comparisons."""
    texts = frozenset(map(_without_name, named))
    releases = [parse_release(text) for text in texts]
    return VersionsInUse(
        texts=texts,
        releases=frozenset(release for release in releases if release is not None),
        are_all_comparable=None not in releases,
    )


def _without_name(version: str) -> str:
    return version.strip().upper().rpartition(_NAME_END)[2]
