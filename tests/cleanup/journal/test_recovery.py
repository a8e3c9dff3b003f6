"""A damaged journal is refused with a reason; an older copy is used as it is; an empty one knows nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from exporter.cleanup.journal import JournalError
from exporter.cleanup.outcomes import Outcome
from exporter.cleanup.records import Run
from exporter.config import PolicyConfig
from exporter.ontap.requests.listing import PACKAGES_PATH
from support.cleaning import POLICY, changed
from support.journal.journal_steps import (
    AMS,
    end,
    intend,
    lease_of,
    new_run,
    opened,
    totals_of,
    unfinished_on,
)
from support.postgresql_server import PostgresqlServer
from support.servicing import WAIT_SECONDS, Life, cluster_named, deletes, life

DELETIONS = 25
PAGE_BYTES = 4096


async def filled(path: Path) -> bytes:
    """Write a journal of many pages, and return its bytes."""
    async with opened(f"sqlite:///{path}") as journal:
        lease = await lease_of(journal)
        run_id = await new_run(journal, lease)
        for number in range(DELETIONS):
            deletion = await intend(journal, lease, run_id, version=f"9.9.{number}")
            await end(journal, lease, deletion, Outcome.SUCCESS, message="x" * 500)
    assert not path.with_name(f"{path.name}-wal").exists()
    return path.read_bytes()


def cut_in_half(whole: bytes) -> bytes:
    return whole[: len(whole) // 2]


def cut_within_a_page(whole: bytes) -> bytes:
    return whole[: len(whole) - PAGE_BYTES // 2]


def zeros_in_the_middle(whole: bytes) -> bytes:
    at = len(whole) // 2 // PAGE_BYTES * PAGE_BYTES
    return whole[:at] + bytes(2 * PAGE_BYTES) + whole[at + 2 * PAGE_BYTES :]


def noise_in_a_page(whole: bytes) -> bytes:
    at = 3 * PAGE_BYTES
    return whole[:at] + bytes(range(256)) + whole[at + 256 :]


def a_header_alone(whole: bytes) -> bytes:
    return whole[:100]


@pytest.mark.parametrize(
    "damage", [cut_in_half, cut_within_a_page, zeros_in_the_middle, noise_in_a_page, a_header_alone]
)
async def test_a_damaged_file_is_refused_and_left_as_it_is(
    damage: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    path = tmp_path / "state.db"
    broken = damage(await filled(path))
    path.write_bytes(broken)
    with pytest.raises(JournalError, match=r"state\.db: .*(damaged|malformed|not a database)"):
        async with opened(f"sqlite:///{path}"):
            pass
    assert path.read_bytes() == broken


async def test_an_older_copy_counts_what_it_knows_and_follows_what_was_under_way_then(tmp_path: Path) -> None:
    path, copy = tmp_path / "state.db", tmp_path / "copy.db"
    async with opened(f"sqlite:///{path}") as journal:
        lease = await lease_of(journal)
        under_way = await intend(journal, lease, await new_run(journal, lease), version="9.9.1")
    shutil.copy(path, copy)
    async with opened(f"sqlite:///{path}") as journal:
        await end(journal, await lease_of(journal), under_way)
    copy.replace(path)
    async with opened(f"sqlite:///{path}") as journal:
        assert await unfinished_on(journal, AMS) == (under_way,)
        assert sum((await totals_of(journal))["ams", "old"].outcomes.values()) == 0


async def test_a_restored_dump_counts_what_it_knows_and_follows_what_was_under_way_then(
    postgresql: PostgresqlServer, postgresql_url: str
) -> None:
    async with opened(postgresql_url) as journal:
        lease = await lease_of(journal)
        under_way = await intend(journal, lease, await new_run(journal, lease), version="9.9.1")
    async with postgresql.restored(postgresql_url), opened(postgresql_url) as journal:
        lease = await lease_of(journal)
        await end(journal, lease, under_way)
        await intend(journal, lease, await new_run(journal, lease), version="9.9.2")
    async with opened(postgresql_url) as journal:
        assert await unfinished_on(journal, AMS) == (under_way,)
        assert sum((await totals_of(journal))["ams", "old"].outcomes.values()) == 0
        await end(journal, await lease_of(journal), under_way)
        assert (await totals_of(journal))["ams", "old"].outcomes[Outcome.SUCCESS] == 1


async def first_run(it: Life, policy: PolicyConfig) -> Run:
    """Start a service, and return its first run once that has ended."""
    async with it.service(policy) as one:
        await one.watch.ended()
        return (await one.runs())[0]


async def test_with_an_empty_database_a_job_that_runs_and_what_was_not_seen_for_long_are_left_alone(
    postgresql: PostgresqlServer, tmp_path: Path
) -> None:
    cluster = cluster_named("c1", "9.11.1", "9.12.1", "9.14.1P2")
    cluster.hold_jobs()
    async with life(tmp_path, cluster) as it:
        known, empty, other = [
            replace(it, state=await postgresql.new_database()) for _ in ("known", "empty", "other")
        ]
        async with known.service(POLICY):
            await cluster.wait_for_requests(
                1, method="DELETE", path=PACKAGES_PATH, timeout_seconds=WAIT_SECONDS
            )
        run = await first_run(empty, POLICY)
        assert (run.success, run.error) == (False, "a job is deleting 9.11.1 already")
        run = await first_run(other, changed(POLICY, seen_for=timedelta(days=7)))
        reasons = {one["version"]: one["reason"] for one in json.loads(run.plan)}
        assert reasons == {"9.11.1": "seen_too_shortly", "9.12.1": "seen_too_shortly", "9.14.1P2": "in_use"}
        assert (run.success, deletes(cluster)) == (True, 1)
        cluster.release_jobs()
    postgresql.free_databases()
