"""The mappings of a file with their source locations, and how those of one cluster are merged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from exporter.config.checking.named_files import FileCheck
from exporter.config.problems import Diagnostics, KeyPath, SourceLocation
from exporter.config.reading.document import Document
from exporter.config.schema import CleanupConfig, PolicyConfig, StrictModel

ModelT = TypeVar("ModelT", bound=StrictModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Section(Generic[ModelT]):
    """One mapping of a file: its values, and where it is."""

    model: ModelT
    document: Document = field(repr=False)
    path: KeyPath

    def at(self, *keys: str | int) -> KeyPath:
        """Return the path of a key below."""
        return (*self.path, *keys)

    def location(self, *keys: str | int) -> SourceLocation:
        """Return where a key below stands, or the mapping itself where the key is not set."""
        return self.document.location(self.at(*keys) if self.has(*keys) else self.path)

    def is_broken(self, *keys: str | int) -> bool:
        """Say whether a mistake has been found in one of these keys."""
        return self.document.is_broken(map(self.at, keys))

    def written(self, value: object, *keys: str | int) -> str:
        """Return the value of a key below; environment variables stay as ``${NAME}``."""
        return self.document.texts.get(self.at(*keys), str(value))

    def add_file_check(
        self, found: Diagnostics, checked: FileCheck, source: Path | str, *keys: str | int
    ) -> None:
        """Add what is wrong with a file, or with what stands at a key instead, at this key."""
        shown = f": {self.written(source, *keys)}" if isinstance(source, Path) else ""
        if checked.error is not None:
            found.error(self.location(*keys), f"{checked.error}{shown}")
        if checked.warning is not None:
            found.warn(self.location(*keys), f"{checked.warning}{shown}")

    def has(self, *keys: str | int) -> bool:
        """Say whether a key below is set."""
        return self.document.has(self.at(*keys))


def walk(value: object, keys: KeyPath = ()) -> Iterator[tuple[KeyPath, object]]:
    """Yield a value and all below that are set, each with the keys that lead to it from ``keys`` on."""
    yield keys, value
    below: Iterable[tuple[str | int, object]] = ()
    match value:
        case StrictModel():
            below = ((key, getattr(value, key)) for key in value.model_fields_set)
        case dict():
            below = value.items()
        case list():
            below = enumerate(value)
        case _:
            pass
    for key, one in below:
        yield from walk(one, (*keys, key))


def policies_of(section: Section[CleanupConfig]) -> list[Section[PolicyConfig]]:
    """Return the sections of the policies."""
    return [
        Section(model=policy, document=section.document, path=(*section.path, "policies", index))
        for index, policy in enumerate(section.model.policies)
    ]


def merge(base: StrictModel, over: ModelT) -> ModelT:
    """Return what ``over`` sets and, where it does not, what ``base`` sets, mapping by mapping."""
    pairs = (both for pair in over.exclusive for both in (pair, pair[::-1]))
    replaced = {theirs for ours, theirs in pairs if ours in over.model_fields_set and getattr(over, ours)}
    update: dict[str, Any] = {}
    for name in base.model_fields_set - replaced:
        below = getattr(base, name)
        if name in over.model_fields_set:
            above = getattr(over, name)
            if isinstance(above, StrictModel):
                update[name] = merge(below, above)
            elif isinstance(above, dict):
                update[name] = below | above
        else:
            update[name] = below
    return over.model_copy(update=update)
