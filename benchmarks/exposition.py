"""Measures a scrape: this exporter's and prometheus_client's, for the same samples, in one process."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator
from statistics import median

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from benchmarks import http_scrapes
from exporter.metrics.cluster_metrics import CLUSTER_FAMILIES, update_cluster
from exporter.metrics.exposition import Exposition, in_chunks
from exporter.metrics.family import Kind
from exporter.metrics.text import Format
from exporter.ontap.requests.facts import ClusterIdentity
from exporter.ontap.requests.inventory import Inventory
from exporter.ontap.requests.listing import Listing, Package
from exporter.polling.board import ClusterStatus, Poll
from exporter.web.answers import SLICE_BYTES
from exporter.web.scrape import GZIP_LEVEL

NOW = 1_800_000_000.123
PLAIN = "scrape"
HTTP = "scrape over HTTP"
COMPRESSED = "scrape with gzip"
REFERENCE = "prometheus_client"
LEVELS = (1, 2, 4, 6, 9)


def measure(*, clusters: int, packages: int, rounds: int) -> tuple[int, dict[str, float]]:
    """Return the number of samples, and the seconds that each way takes, the median of some rounds.

    prometheus_client is given its samples ready made; only their rendering counts.
    """
    fleet = [_status(number, packages) for number in range(clusters)]
    exposition = Exposition(CLUSTER_FAMILIES)
    for status in fleet:
        update_cluster(exposition, status)
    registry = CollectorRegistry()
    reference = _Reference(fleet)
    registry.register(reference)
    if _plain(exposition) != generate_latest(registry):
        raise SystemExit("the expositions differ")
    ways: dict[str, Callable[[], object]] = {
        PLAIN: lambda: sum(map(len, _chunks(exposition))),
        COMPRESSED: lambda: _compressed(exposition),
        REFERENCE: lambda: generate_latest(registry),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            begun = time.process_time()
            way()
            seconds[name].append(time.process_time() - begun)
    found = {name: median(taken) for name, taken in seconds.items()}
    return reference.samples, found | {HTTP: http_scrapes.measure(exposition, now=NOW, rounds=rounds)}


def levels(*, clusters: int, packages: int) -> Iterator[tuple[int, float, float]]:
    """Give each level of gzip, the seconds that it takes, and the compressed size as a part of the size."""
    exposition = Exposition(CLUSTER_FAMILIES)
    for number in range(clusters):
        update_cluster(exposition, _status(number, packages))
    body = _plain(exposition)
    for level in LEVELS:
        begun = time.process_time()
        size = len(zlib.compress(body, level))
        yield level, time.process_time() - begun, size / len(body)


def _chunks(exposition: Exposition[ClusterStatus]) -> Iterator[bytes]:
    blocks = exposition.all().blocks(now=NOW, form=Format.TEXT)
    return in_chunks(blocks, at_least_bytes=SLICE_BYTES)


def _plain(exposition: Exposition[ClusterStatus]) -> bytes:
    return b"".join(_chunks(exposition))


def _compressed(exposition: Exposition[ClusterStatus]) -> int:
    compressor = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, 31)
    size = sum(len(compressor.compress(chunk)) for chunk in _chunks(exposition))
    return size + len(compressor.flush())


class _Reference:
    """The same samples for prometheus_client."""

    def __init__(self, fleet: list[ClusterStatus]) -> None:
        self._metrics = [self._metric(row, fleet) for row in range(len(CLUSTER_FAMILIES))]
        self.samples = sum(len(metric.samples) for metric in self._metrics)

    def collect(self) -> list[Metric]:
        return self._metrics

    @staticmethod
    def _metric(row: int, fleet: list[ClusterStatus]) -> Metric:
        family = CLUSTER_FAMILIES[row]
        make = GaugeMetricFamily if family.kind is Kind.GAUGE else CounterMetricFamily
        metric: Metric = make(family.name, family.help)
        for status in fleet:
            for own, value in family.samples(status):
                labels = {"cluster": status.name, **dict(status.labels)}
                labels |= dict(zip(family.labels, own, strict=True))
                shown = max(round(NOW - value, 3), 0.0) if family.is_age else value
                metric.add_sample(family.name, labels, shown)
        return metric


def _status(number: int, packages: int) -> ClusterStatus:
    listing = Listing(
        packages=tuple(
            Package(
                version=f"9.{8 + index // 5}.1P{index % 5}",
                create_timestamp_seconds=1_700_000_000.0 + 604_800 * index + number,
            )
            for index in range(packages)
        ),
        unnamed=0,
        pages=1,
    )
    status = ClusterStatus(
        name=f"cluster-{number:05}",
        address=f"https://10.20.{number >> 8}.{number & 255}:443",
        labels=(("rack", f"r{number % 40}"), ("site", "ams")),
        stale_after_seconds=900,
    )
    poll = Poll(ended_timestamp_seconds=NOW - number / 100, duration_seconds=0.0123, failure=None)
    identity = ClusterIdentity(name=status.name, uuid=f"uuid-{number}", ontap_version="9.10.1P1")
    versions_in_use = frozenset({"9.10.1P1"})
    return status.after_success(
        poll, Inventory(listing=listing, identity=identity, versions_in_use=versions_in_use)
    )
