"""The process's own memory, CPU time, files and interpreter, by prometheus_client's collectors."""

from __future__ import annotations

from collections.abc import Collection

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from exporter.metrics.exposition import OPENMETRICS_END
from exporter.metrics.text import Format


class ProcessMetrics:
    """Renders the usual ``process_*`` and ``python_*`` metrics."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def render(self, *, form: Format, names: Collection[str]) -> bytes:
        """Render all of them, or only those with these names; without the end mark of OpenMetrics."""
        source = self._registry.restricted_registry(list(names)) if names else self._registry
        if form is Format.OPENMETRICS:
            openmetrics: bytes = generate_openmetrics(source)  # type: ignore[no-untyped-call]
            return openmetrics.removesuffix(OPENMETRICS_END)
        return generate_latest(source)
