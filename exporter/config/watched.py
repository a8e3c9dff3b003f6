"""One cluster file from look to look: whether it has come to rest, and whether it is to be read anew."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING, Final

from exporter.config.content import ContentError, Signature, digest, read_content, sign
from exporter.config.model import ClusterFile
from exporter.config.problems import Problem
from exporter.config.sightings import unread

if TYPE_CHECKING:
    from exporter.config.sections import FilePattern

RESTLESS_LOOKS: Final = 6
"""After so many looks in a row, each of which saw another file, its content is compared instead."""
_NOTHING: Final = b""
"""In place of a digest, where there was nothing to read."""


class Sight(Enum):
    """What one look saw of a file."""

    KNOWN = auto()  # nothing is to be done
    MOVING = auto()  # another one than in the look before: it may be half written
    CHANGED = auto()  # the same as in the look before, and not yet read, or gone


@dataclass(slots=True, kw_only=True)
class Watched:
    """What is known of one file."""

    in_force: ClusterFile | None = None
    """``None``: it has never been good."""
    rejected: ClusterFile | None = None
    """What it says now, where that by itself is good but does not go together with the rest."""
    problems: tuple[Problem, ...] = ()
    """Why what it says now is not in force."""
    seen: Signature | None = None
    """In the last look; ``None``: it was gone."""
    taken: Signature | None = None
    """When it was last read; ``None`` where that has to be tried again."""
    device: int = 0
    """Of its folder."""
    moves: int = 0
    """How many looks in a row saw another file than the look before."""
    glimpse: bytes | None = None
    """The digest of its content in the look before, while it is restless."""
    weighed: bytes | None = None
    """The digest of what was last read from the restless file and found good or bad."""

    @property
    def is_restless(self) -> bool:
        """Whether it is written anew all the time."""
        return self.moves > RESTLESS_LOOKS

    def look(self, path: Path, now: Signature | None, source: FilePattern | None) -> Sight:
        """Take note of what was seen, by the pattern ``source``; ``None``: the file is gone."""
        is_same = now == self.seen
        self.seen = now
        if is_same:
            self.moves = 0
            self.glimpse = self.weighed = None
            return Sight.KNOWN if now is not None and now == self.taken else Sight.CHANGED
        self.moves += 1
        if not self.is_restless:
            return Sight.MOVING
        if source is None:
            self.glimpse = _NOTHING
            return Sight.KNOWN
        return self._compare(path, source)

    def is_still(self, path: Path, content: bytes) -> bool:
        """Tell whether ``content``, read after a look, is what that look saw."""
        return digest(content) == self.glimpse if self.is_restless else sign(path) == self.seen

    def fail(self, problem: Problem) -> None:
        """Note why what the file says now cannot be used."""
        self.problems = (problem,)
        self.rejected = self.taken = self.weighed = None

    def _compare(self, path: Path, source: FilePattern) -> Sight:
        """Compare the content with that of the look before, where the file itself is always another."""
        before = self.glimpse
        try:
            self.glimpse = digest(read_content(path, may_be_stream=False))
        except ContentError as error:
            self.glimpse = _NOTHING
            self.fail(unread(path, source, str(error)))
            return Sight.KNOWN
        if before is None:
            return Sight.KNOWN
        if self.glimpse == before:
            return Sight.KNOWN if self.glimpse == self.weighed else Sight.CHANGED
        self.fail(Problem(file=str(path), line=0, key="", message="keeps changing"))
        return Sight.KNOWN
