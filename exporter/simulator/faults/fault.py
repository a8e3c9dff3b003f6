"""Faults: what goes wrong, with which requests, how often."""

import asyncio
from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass, field
from enum import StrEnum
from typing import Annotated

import pydantic


class FaultKind(StrEnum):
    """What goes wrong."""

    LATENCY = "latency"
    """`seconds` pass before the request is handled; other faults may apply too."""
    HANG = "hang"
    """No answer until the fault is removed or the client goes away; then the request is carried out."""
    RESET = "reset"
    """The connection is reset and the request is not carried out."""
    LOST_ANSWER = "lost_answer"
    """The request is carried out, but the connection is reset instead of an answer."""
    TRUNCATED_BODY = "truncated_body"
    """Content-Length announces more than is sent, then the connection closes."""
    TRUNCATED_JSON = "truncated_json"
    """The body stops in the middle of its JSON, with a Content-Length that agrees."""
    SLOW_BODY = "slow_body"
    """The body comes in small pieces over `seconds`."""
    ENDLESS_BODY = "endless_body"
    """The body never ends."""
    HTML = "html"
    """A page of HTML, as a proxy's sign-in page, with status 200 unless `status` is set."""
    REPLY = "reply"
    """`body` with `status` and `content_type`: by default, a list where the API has an object."""
    UNAUTHORIZED = "unauthorized"
    """401, code 6691623."""
    FORBIDDEN = "forbidden"
    """403, code 6."""
    TOO_MANY_REQUESTS = "too_many_requests"
    """429, code 262160, with Retry-After: `retry_after`, or 1."""
    SERVER_ERROR = "server_error"
    """500, code 262145."""
    UNAVAILABLE = "unavailable"
    """503, with Retry-After if `retry_after` is set."""
    ERROR = "error"
    """An error body with `code`, and with `status` and `message` if they are set."""
    UNDATED = "undated"
    """The header `Date` is empty: the answer does not show the cluster's clock."""
    REDIRECT = "redirect"
    """`status` (307 unless set) to `location`; `{target}` in it stands for the path and query asked for."""
    EMPTY_PAGE = "empty_page"
    """A page without records whose next link leads to the page that was asked for."""
    CUT_SHORT_LISTING = "cut_short_listing"
    """After return_timeout: no records and no next link, as if there were none."""
    PAGING_LOOP = "paging_loop"
    """The next link leads to the same page."""
    PAGING_BACK = "paging_back"
    """The next link leads to the first page."""
    ENDLESS_PAGING = "endless_paging"
    """Every page has a next link that was never seen before."""
    FOREIGN_LINK = "foreign_link"
    """The next link is `location`; `{target}` in it stands for the path and query of the real one."""
    ABSOLUTE_LINK = "absolute_link"
    """The next link names the cluster's own scheme, host and port."""
    DELETE_ERROR = "delete_error"
    """A DELETE is refused with `code`, and with `status` and `message` if they are set."""
    JOB_FAILURE = "job_failure"
    """A DELETE is accepted, but its job fails with `code` and `message`."""


LISTING_KINDS = frozenset(
    {
        FaultKind.EMPTY_PAGE,
        FaultKind.CUT_SHORT_LISTING,
        FaultKind.PAGING_LOOP,
        FaultKind.PAGING_BACK,
        FaultKind.ENDLESS_PAGING,
        FaultKind.FOREIGN_LINK,
        FaultKind.ABSOLUTE_LINK,
    }
)
"""Faults of the packages listing alone."""

DELETE_KINDS = frozenset({FaultKind.DELETE_ERROR, FaultKind.JOB_FAILURE})
"""Faults of DELETE alone."""

Count = Annotated[int, pydantic.Field(ge=0)]
Seconds = Annotated[float, pydantic.Field(ge=0, allow_inf_nan=False)]


@pydantic.dataclasses.dataclass(frozen=True, slots=True, eq=False, config=pydantic.ConfigDict(extra="forbid"))
class Fault:
    """One fault: what goes wrong, and with which requests.

    Attributes:
        method: Only requests of this method.
        path: Only requests whose path begins so.
        exact: Only requests to exactly that path.
        page: Only this page of the packages listing, from 1.
        times: With this many requests, then never again; None means until removed.
        skip: After letting this many requests pass.
        seconds: How long, in simulated seconds.
        message: What an error says; None takes the code's own.
        retry_after: The Retry-After header: seconds, or any text.
        location: Where a redirect or a link leads.
        body: The body of REPLY.
        content_type: The type of that body.

    Raises:
        pydantic.ValidationError: A value is not possible.
    """

    kind: FaultKind
    _: KW_ONLY
    method: str | None = None
    path: str | None = None
    exact: bool = False
    page: Annotated[int, pydantic.Field(ge=1)] | None = None
    times: Count | None = None
    skip: Count = 0
    seconds: Seconds = 0.0
    status: Annotated[int, pydantic.Field(ge=200, le=599)] | None = None
    code: Count = 262145
    message: str | None = None
    retry_after: int | float | str | None = None
    location: str = "https://ontap-elsewhere.invalid{target}"
    body: bytes = b"[]"
    content_type: str = "application/hal+json"

    def matches(self, method: str, path: str, page: int | None) -> bool:
        """Say whether it is about such a request; `page` is None for all but the packages listing."""
        if (self.page is not None or self.kind in LISTING_KINDS) and page is None:
            return False
        if self.kind in DELETE_KINDS and method != "DELETE":
            return False
        if self.exact and path != self.path:
            return False
        return (
            self.method in (None, method) and path.startswith(self.path or "") and self.page in (None, page)
        )


@dataclass(slots=True, eq=False)
class _Strikes:
    """How often an active fault has matched and struck."""

    matched: int = 0
    struck: int = 0
    removed: asyncio.Event = field(default_factory=asyncio.Event)

    def strike(self, fault: Fault) -> bool:
        """Count a matching request; return whether the fault strikes it."""
        self.matched += 1
        spent = fault.times is not None and self.struck >= fault.times
        if self.matched <= fault.skip or spent:
            return False
        self.struck += 1
        return True


class Faults:
    """The active faults of one cluster, in the order in which they were added."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._active: dict[Fault, _Strikes] = {}
        self.add(*faults)

    @property
    def active(self) -> tuple[Fault, ...]:
        """The active faults; one that has struck as often as it may stays among them."""
        return tuple(self._active)

    def add(self, *faults: Fault) -> None:
        """Make faults active."""
        self._active.update({fault: _Strikes() for fault in faults})

    def remove(self, *faults: Fault) -> None:
        """Remove these faults, as far as they are active."""
        for fault in faults:
            if fault in self._active:
                self._active.pop(fault).removed.set()

    def clear(self) -> None:
        """Remove every fault."""
        self.remove(*self.active)

    def struck(self, fault: Fault) -> int:
        """How often an active fault has struck."""
        return self._active[fault].struck

    def strike(self, method: str, path: str, page: int | None) -> tuple[float, Fault | None]:
        """Count what strikes a request: the seconds of every latency, and the first of the other faults."""
        latency_seconds = 0.0
        struck = None
        for fault, strikes in tuple(self._active.items()):
            latency = fault.kind is FaultKind.LATENCY
            if (latency or struck is None) and fault.matches(method, path, page) and strikes.strike(fault):
                if latency:
                    latency_seconds += fault.seconds
                else:
                    struck = fault
        return latency_seconds, struck

    async def wait_until_removed(self, fault: Fault) -> None:
        """Wait until a fault is active no longer."""
        if fault in self._active:
            await self._active[fault].removed.wait()
