"""Polls every cluster once, and gives what there is to scrape: for cron jobs and textfile collectors."""

from __future__ import annotations

import asyncio
import time

from exporter.app.daemon import REVISION
from exporter.app.sharding import Shard
from exporter.config import Config
from exporter.metrics.cluster_metrics import CLUSTER_FAMILIES, update_cluster
from exporter.metrics.exporter_metrics import EXPORTER_FAMILIES, ExporterState
from exporter.metrics.exposition import Exposition, render_once
from exporter.metrics.text import Format
from exporter.ontap.access import AccessOpener
from exporter.ontap.client import RequestCounts
from exporter.ontap.session import open_session
from exporter.polling.board import Board, ClusterStatus
from exporter.polling.limiter import PollLimiter
from exporter.polling.poller import Poller


async def poll_once(config: Config, *, shard: Shard) -> tuple[bytes, bool]:
    """Poll every cluster of a shard once; nothing is deleted.

    Returns:
        the exposition as text, and whether all clusters could be read. The metrics of the process itself are
        left out, because a textfile collector has its own of the same names.
    """
    rendered: Exposition[ClusterStatus] = Exposition(CLUSTER_FAMILIES)
    board = Board(on_change=lambda status: update_cluster(rendered, status))
    counts = RequestCounts()
    limiter = PollLimiter(config.max_concurrent_polls)
    async with open_session() as session, asyncio.TaskGroup() as group:
        own = [cluster for cluster in config.clusters if shard.owns(cluster.name)]
        accesses = AccessOpener(session=session, counts=counts).open(own)
        for name, access in accesses.items():
            poller = Poller(access=access, board=board, limiter=limiter, wall_clock=time.time)
            group.create_task(poller.poll_once(), name=f"poll {name}")
    now = time.time()
    state = ExporterState(
        revision=REVISION,
        last_reload_successful=True,
        last_reload_success_timestamp_seconds=now,
        cluster_files=len(config.sources.files),
        clusters=len(accesses),
        requests=counts.totals(),
        shard_ordinal=shard.ordinal,
        total_shards=shard.total,
        poll_durations=board.poll_durations.cumulative(),
        poll_duration_sum_seconds=board.poll_durations.sum_seconds,
    )
    tables = (rendered.all(), render_once(EXPORTER_FAMILIES, state))
    blocks = (block for table in tables for block in table.blocks(now=now, form=Format.TEXT))
    return b"".join(blocks), all(status.up for status in board.statuses())
