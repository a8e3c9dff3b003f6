"""What a cluster remembers of the next links it gave out: where they lead and which page that is."""

from collections.abc import Iterable
from typing import TypeVar
from urllib.parse import parse_qsl

from exporter.simulator.api.request_queries import START_PREFIX
from exporter.simulator.state.package_repository import Entry

MOST_REMEMBERED = 10_000

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class Paging:
    """The markers and page numbers behind a cluster's next links, and its scripted pages.

    Attributes:
        script: The records of every page of the packages listing, where they are scripted.
    """

    def __init__(self) -> None:
        self.script: tuple[tuple[object, ...], ...] | None = None
        self._markers: dict[tuple[str, str, str], Entry] = {}
        self._pages: dict[frozenset[tuple[str, str]], int] = {}
        self._unique = 0

    def unique(self) -> str:
        """A number that was never given before."""
        self._unique += 1
        return str(self._unique)

    def remember_marker(self, path: str, name: str, value: str, entry: Entry) -> None:
        """Remember the entry where the page behind a link begins."""
        self._markers[path, name, value] = entry
        _forget_oldest(self._markers)

    def marker(self, path: str, name: str, value: str) -> Entry | None:
        """The entry where the page behind a link begins; None where no such link was given out."""
        return self._markers.get((path, name, value))

    def remember_page(self, link: str, number: int) -> None:
        """Remember which page of its listing a link leads to."""
        self._pages[frozenset(parse_qsl(link.partition("?")[2], keep_blank_values=True))] = number
        _forget_oldest(self._pages)

    def page(self, query: Iterable[tuple[str, str]]) -> int:
        """Which page of its listing a query asks for, from 1."""
        pairs = frozenset(query)
        if not any(name.startswith(START_PREFIX) for name, _ in pairs):
            return 1
        return self._pages.get(pairs, 2)


def _forget_oldest(remembered: dict[_Key, _Value]) -> None:
    while len(remembered) > MOST_REMEMBERED:
        del remembered[next(iter(remembered))]
