"""The pages of a collection: the link to the next page, and whether the last page is the end. No I/O."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

from exporter.ontap.cluster_settings import Endpoint
from exporter.ontap.errors import BadResponse, IncompleteListing

MAX_LINK_CHARACTERS = 8 * 1024
"""Longer than any next link; the cluster would not take a longer request either."""
DEFAULT_RETURN_TIMEOUT_SECONDS = 15
"""ONTAP's own default, for a request that carries no ``return_timeout``."""
_SECONDS = re.compile(r"[0-9]{1,3}")


def records_of(page: dict[str, Any]) -> list[Any]:
    """Return the records of a page. ONTAP may leave out the list of an empty collection.

    Raises:
        BadResponse: the page is not of the described shape.
    """
    records = page.get("records")
    if records is None and type(page.get("num_records")) is int and page["num_records"] == 0:
        return []
    if not isinstance(records, list):
        raise BadResponse("the page has no list of records")
    return records


def next_target(page: dict[str, Any], endpoint: Endpoint) -> str | None:
    """Return the path and query of the next link, or None on the last page.

    Raises:
        BadResponse: the link is not of the described shape.
        IncompleteListing: the link leads off the cluster.
    """
    links = page.get("_links")
    if links is None:
        return None
    if not isinstance(links, dict):
        raise BadResponse("the page's _links is not an object")
    link = links.get("next")
    if link is None:
        return None
    href = link.get("href") if isinstance(link, dict) else None
    if not isinstance(href, str) or not href:
        raise BadResponse("the page's next link has no href")
    if len(href) > MAX_LINK_CHARACTERS:
        raise BadResponse(f"the page's next link is longer than {MAX_LINK_CHARACTERS} characters")
    target = _own_target(href, endpoint)
    if target is None:
        raise IncompleteListing(f"the next link leads off the cluster: {href!r}")
    return target


def return_timeout_of(target: str) -> int:
    """Return the ``return_timeout`` of a request, in seconds; ONTAP's default if it carries none."""
    value = parse_qs(target.partition("?")[2]).get("return_timeout", [""])[0]
    return int(value) if _SECONDS.fullmatch(value) else DEFAULT_RETURN_TIMEOUT_SECONDS


def may_be_cut_short(target: str, *, elapsed_seconds: float) -> bool:
    """Say whether records may be missing after an empty last page: it took all of ``return_timeout``.

    ONTAP may leave out the next link if it finds nothing in time. ``target`` is that of the request for this
    page: it says how long ONTAP was to look.
    """
    return_timeout_seconds = return_timeout_of(target)
    return elapsed_seconds >= return_timeout_seconds - min(1.0, 0.1 * return_timeout_seconds)


def _own_target(href: str, endpoint: Endpoint) -> str | None:
    """Return path and query of a link to the same cluster, unchanged; None for any other link.

    Only visible ASCII is accepted, without characters that some parsers take for separators.
    """
    if not href.isascii() or not href.isprintable() or any(mark in href for mark in " \\#"):
        return None
    try:
        parts = urlsplit(href)
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:
        return None
    if parts.scheme or parts.netloc:
        own = (endpoint.scheme, endpoint.host.lower(), endpoint.port)
        if (parts.scheme, parts.hostname, port) != own or "@" in parts.netloc:
            return None
        href = href[len(f"{parts.scheme}://{parts.netloc}") :]
    return href if href.startswith("/") and not href.startswith("//") else None
