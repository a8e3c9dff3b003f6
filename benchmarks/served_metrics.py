"""Serves the metrics of a made-up fleet, rendered by the program's own code, for Prometheus to scrape.

Usage: ``python -m benchmarks.served_metrics --clusters 10000 --port 10910``; prints ``ready`` then.

Some clusters are down, for various reasons. A policy of cleanup applies to all of them. ``/metrics`` is that
of one exporter, ``/probe?target=NAME`` that of one cluster.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from aiohttp import web

from exporter.cleanup.cleanup_board import NO_TOTALS, LeaseStatus, PolicyStatus
from exporter.cleanup.decide.plan import Verdict
from exporter.cleanup.decide.plan import VerdictReason as Kept
from exporter.cleanup.outcomes import Outcome, RunFailure
from exporter.metrics.cleanup_metrics import (
    CLEANUP_FAMILIES,
    CLEANUP_STATE_FAMILIES,
    LEASE_FAMILIES,
    CleanupState,
    update_lease,
    update_policy,
)
from exporter.metrics.cluster_metrics import CLUSTER_FAMILIES, update_cluster
from exporter.metrics.exporter_metrics import EXPORTER_FAMILIES, ExporterState
from exporter.metrics.exposition import Exposition, RenderedTable, render_once
from exporter.metrics.process import ProcessMetrics
from exporter.metrics.text import Format
from exporter.ontap.errors import Reason
from exporter.ontap.requests.facts import ClusterIdentity, SoftwareFacts
from exporter.ontap.requests.inventory import Inventory
from exporter.ontap.requests.listing import Listing, Package
from exporter.polling.board import ClusterStatus, Poll, PollFailure

DAY = 86_400.0
STALE_AFTER_SECONDS = 1e9
POLICY = "retire-old"
DOWN_PERCENT = 3
REASONS = (Reason.TIMEOUT, Reason.UNAUTHORIZED, Reason.CONNECTION, Reason.TLS, Reason.INCOMPLETE)
SITES = ("ams", "fra", "nyc", "sin", "lon")


def cluster(number: int, packages: int, now: float) -> ClusterStatus:
    """Return a cluster after a poll; of a hundred, some are down."""
    versions = [
        f"9.{8 + index // 2 % 9}.1" + (f"P{(number + index) % 12}" if index % 3 else "")
        for index in range(packages)
    ]
    listed = dict.fromkeys(versions)
    running = max(listed, key=lambda version: (len(version), version), default="9.14.1")
    listing = Listing(
        packages=tuple(
            Package(version=version, create_timestamp_seconds=now - DAY * (10 + 55 * index) - number)
            for index, version in enumerate(listed)
        ),
        unnamed=0,
        pages=1,
    )
    software = SoftwareFacts(
        version=running,
        pending_version=None,
        node_versions=(running,),
        update_state="in_progress" if number % 97 == 0 else "completed",
    )
    inventory = Inventory(
        listing=listing,
        identity=ClusterIdentity(name=f"c{number:05}", uuid=f"uuid-{number}", ontap_version=running),
        versions_in_use=frozenset({running}),
        software=software,
        download_state="success",
    )
    status = ClusterStatus(
        name=f"cluster-{number:05}",
        address="https://10.20.0.5:443",
        labels=(("site", SITES[number % len(SITES)]), ("team", f"team-{number % 3}")),
        stale_after_seconds=STALE_AFTER_SECONDS,
    )
    good = Poll(
        ended_timestamp_seconds=now - 60,
        duration_seconds=0.2 + number % 17 / 10,
        failure=None,
        clock_skew_seconds=-0.5,
        certificate_expiry_timestamp_seconds=now + DAY * (20 + number % 300),
    )
    status = status.after_success(good, inventory)
    if number % 100 >= DOWN_PERCENT:
        return status
    failure = PollFailure(reason=REASONS[number // 100 % len(REASONS)], message="")
    return status.after_failure(replace(good, ended_timestamp_seconds=now, failure=failure), failure)


def policy(number: int, labels: tuple[tuple[str, str], ...], now: float) -> PolicyStatus:
    """Return the policy on a cluster; of a hundred, its last run failed on some."""
    totals = replace(
        NO_TOTALS,
        outcomes={**NO_TOTALS.outcomes, Outcome.SUCCESS: number % 40, Outcome.FAILURE: number % 3},
        codes={"10551367": number % 3} if number % 3 else {},
        candidates=number % 5,
        last_started_timestamp_seconds=now - DAY,
        last_ended_timestamp_seconds=now - DAY + 60,
        last_success=True,
        last_success_timestamp_seconds=now - DAY + 60,
        planned={
            (Verdict.DELETE, Kept.RETIRED): number % 5,
            (Verdict.KEEP, Kept.IN_USE): 1,
            (Verdict.KEEP, Kept.TOO_YOUNG): 3,
        },
    )
    return PolicyStatus(
        cluster=f"cluster-{number:05}",
        labels=labels,
        policy=POLICY,
        dry_run=False,
        recorded=totals,
        is_counted=True,
        next_run_timestamp_seconds=now + DAY,
        in_progress=int(number % 211 == 0),
        failure=RunFailure.DELETION_FAILED if number % 50 == 7 else None,
        failed_timestamp_seconds=now - DAY + 60,
    )


class ServedMetrics:
    """Renders what is served.

    Args:
        clusters: how many.
        packages: of each cluster.
        first: the number of the first cluster.
        ordinal: of the shard.
        total: shards.
        has_cleanup: whether cleanup is configured.
    """

    def __init__(
        self, *, clusters: int, packages: int, first: int, ordinal: int, total: int, has_cleanup: bool
    ) -> None:
        now = time.time()
        self._clusters = Exposition(CLUSTER_FAMILIES)
        self._policies = Exposition(CLEANUP_FAMILIES)
        self._leases = Exposition(LEASE_FAMILIES)
        self._process = ProcessMetrics()
        for number in range(first, first + clusters):
            status = cluster(number, packages, now)
            update_cluster(self._clusters, status)
            if has_cleanup:
                update_policy(self._policies, policy(number, status.labels, now))
                update_lease(self._leases, LeaseStatus(cluster=status.name, labels=status.labels, held=True))
        self._has_cleanup = has_cleanup
        self._state = ExporterState(
            version="0",
            python_version="3",
            revision="made up",
            last_reload_successful=True,
            last_reload_success_timestamp_seconds=now,
            cluster_files=0,
            cluster_files_failed=0,
            clusters=clusters,
            requests={("GET", "200"): 10, ("GET", "401"): 1},
            poll_delay_seconds=0.0,
            shard_ordinal=ordinal,
            total_shards=total,
        )

    async def metrics(self, _: web.Request) -> web.Response:
        """Answer as the exporter does on ``/metrics``."""
        return web.Response(body=b"".join(self._blocks()), headers={"Content-Type": str(Format.TEXT)})

    async def probe(self, request: web.Request) -> web.Response:
        """Answer as the exporter does on ``/probe``."""
        one = self._clusters.only([request.query["target"]])
        body = b"".join(one.blocks(now=time.time(), form=Format.TEXT))
        return web.Response(body=body, headers={"Content-Type": str(Format.TEXT)})

    def _blocks(self) -> Iterator[bytes]:
        tables: list[RenderedTable[Any]] = [self._clusters.all(), self._policies.all(), self._leases.all()]
        for table in tables:
            yield from table.blocks(now=time.time(), form=Format.TEXT)
        yield from render_once(EXPORTER_FAMILIES, self._state).blocks(now=0.0, form=Format.TEXT)
        if self._has_cleanup:
            state = CleanupState(
                durations={}, halted=False, journal_open=True, paused={POLICY: False}, takeovers=0
            )
            yield from render_once(CLEANUP_STATE_FAMILIES, state).blocks(now=0.0, form=Format.TEXT)
        yield self._process.render(form=Format.TEXT, names=())


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--clusters", type=int, required=True)
    parser.add_argument("--packages", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="the number of the first cluster")
    parser.add_argument("--shard", type=int, default=0)
    parser.add_argument("--total-shards", type=int, default=1)
    parser.add_argument("--no-cleanup", action="store_true")
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    served = ServedMetrics(
        clusters=arguments.clusters,
        packages=arguments.packages,
        first=arguments.first,
        ordinal=arguments.shard,
        total=arguments.total_shards,
        has_cleanup=not arguments.no_cleanup,
    )
    application = web.Application()
    application.add_routes([web.get("/metrics", served.metrics), web.get("/probe", served.probe)])

    async def announce(_: web.Application) -> None:
        print("ready", flush=True)

    application.on_startup.append(announce)
    web.run_app(application, host="127.0.0.1", port=arguments.port, print=None, access_log=None)


if __name__ == "__main__":
    main()
