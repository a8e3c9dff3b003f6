"""Made-up clusters for the pages, and what a page shows, by a real parser of HTML."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

from exporter.ontap.errors import Reason
from exporter.ontap.requests.facts import ClusterIdentity
from exporter.ontap.requests.inventory import Inventory
from exporter.ontap.requests.listing import Listing, Package
from exporter.polling.board import ClusterStatus, Poll, PollFailure
from support.stub_sources import NOW

DAY = 86_400.0


def unpolled(name: str, **labels: str) -> ClusterStatus:
    return ClusterStatus(
        name=name,
        address=f"https://{name}.example:443",
        labels=tuple(sorted(labels.items())),
        stale_after_seconds=900,
    )


def polled(
    name: str,
    *packages: tuple[str, float | None],
    running: str | None = "9.14.1",
    ended: float = NOW - 10,
    **labels: str,
) -> ClusterStatus:
    """Return a cluster with these packages: version and age in days; None: of unknown age."""
    listed = tuple(
        Package(version=version, create_timestamp_seconds=None if days is None else NOW - days * DAY)
        for version, days in packages
    )
    inventory = Inventory(
        listing=Listing(packages=listed, unnamed=0, pages=1),
        identity=ClusterIdentity(name=name, uuid=f"uuid-of-{name}", ontap_version=running),
        versions_in_use=None if running is None else frozenset({running}),
    )
    poll = Poll(ended_timestamp_seconds=ended, duration_seconds=0.5, failure=None)
    return unpolled(name, **labels).after_success(poll, inventory)


def failing(status: ClusterStatus, reason: Reason, message: str = "no answer") -> ClusterStatus:
    """Return a cluster after another poll, which failed."""
    failure = PollFailure(reason=reason, message=message)
    poll = Poll(ended_timestamp_seconds=NOW - 5, duration_seconds=60.0, failure=failure)
    return status.after_failure(poll, failure)


@dataclass
class Shown(HTMLParser):
    """What is on a page.

    Attributes:
        rows: the value of `data-cluster`, `data-version` and the like of each row of a table, in order.
        links: every address that the page leads to.
        text: all text outside of style and script, with single spaces.
    """

    rows: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    unread: str = ""

    def __post_init__(self) -> None:
        super().__init__()

    @classmethod
    def on(cls, html: str) -> Shown:
        """Read a page."""
        shown = cls()
        shown.feed(html)
        shown.close()
        return shown

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.pieces).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.unread = tag if tag in {"style", "script"} else self.unread
        if tag == "tr":
            self.rows += [value or "" for name, value in attrs if name.startswith("data-")]
        if (link := values.get("href") or values.get("action")) is not None:
            self.links.append(link)

    def handle_endtag(self, tag: str) -> None:
        self.unread = "" if tag == self.unread else self.unread

    def handle_data(self, data: str) -> None:
        if not self.unread:
            self.pieces.append(data)
