"""The exposition as text."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from exporter.metrics.exposition import RenderedTable
from exporter.metrics.text import Format


def text_of(
    table: RenderedTable[Any], *, form: Format = Format.TEXT, now: float = 0.0, names: Collection[str] = ()
) -> str:
    """Return the lines of a table at a moment (Unix seconds), without the end mark of OpenMetrics."""
    return b"".join(table.blocks(now=now, form=form, names=names)).decode()
