"""A folder of small bad files, one for every mistake, and beside each the whole message."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from exporter.config import ConfigError

SECRETS = ("made-up", "QOauhQNbBCuQDKes6eFzPe")
"""Stand in the files."""


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
        """The names of the files and of the messages, without suffix."""
        return sorted({path.stem for path in self.folder.iterdir()})

    def messages(self, name: str) -> str:
        """Return what is wrong with a file, a line for each mistake, without the folder."""
        with pytest.raises(ConfigError) as caught:
            self.load(self.folder / f"{name}.yaml")
        return str(caught.value).replace(f"{self.folder}/", "").replace(str(self.folder), ".") + "\n"

    def check(self, name: str) -> None:
        """Check that a file has exactly the mistakes beside it, and that no secret is in their messages."""
        messages = self.messages(name)
        assert messages == (self.folder / f"{name}.txt").read_text()
        assert not any(secret in messages for secret in SECRETS)
