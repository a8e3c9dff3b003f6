"""A folder of small bad files, one for every mistake, and beside each the whole message."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from exporter.config import ConfigError


@dataclass(frozen=True, slots=True)
class BadFiles:
    """The bad files of one kind.

    Attributes:
        folder: where they are.
        load: loads one, and raises what is wrong with it.
    """

    folder: Path
    load: Callable[[Path], object]

    @property
    def names(self) -> list[str]:
        """The names of the files, without suffix."""
        return sorted(path.stem for path in self.folder.glob("*.yaml"))

    def messages(self, name: str) -> str:
        """Return what is wrong with a file, a line for each mistake, without the folder."""
        with pytest.raises(ConfigError) as caught:
            self.load(self.folder / f"{name}.yaml")
        return str(caught.value).replace(f"{self.folder}/", "").replace(str(self.folder), ".") + "\n"

    def expected(self, name: str) -> str:
        """Return the message beside a file."""
        return (self.folder / f"{name}.txt").read_text()

    @property
    def without_partner(self) -> set[str]:
        """The files without a message, and the messages without a file."""
        return {path.stem for path in self.folder.glob("*.txt")} ^ set(self.names)
