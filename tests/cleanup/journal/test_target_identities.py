"""A deletion belongs to the cluster that it was sent to, whatever name that had or has."""

from __future__ import annotations

import pytest
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from cleanup.journal.steps import new_run
from sqlalchemy import Connection, text

from exporter.cleanup.journal import Journal, JournalError, open_journal
from exporter.cleanup.journal.migrations.versions import r0001_journal
from exporter.cleanup.journal.tables import METADATA
from exporter.cleanup.records import Deletion, Outcome, Phase, TargetIdentity

X = TargetIdentity(uuid="1f-x", origin="https://192.0.2.1:443")
Y = TargetIdentity(uuid="1f-y", origin="https://192.0.2.2:443")
MOVED = TargetIdentity(uuid=X.uuid, origin="https://192.0.2.9:443")
NAMELESS = TargetIdentity(uuid=None, origin=X.origin)


async def intend(
    journal: Journal, target_identity: TargetIdentity | None, *, cluster: str = "ams", version: str = "9.9.1"
) -> Deletion:
    run_id = await new_run(journal, cluster=cluster)
    return await journal.intend(run_id, version=version, now=110.0, sent_to=target_identity)


async def give_up(
    journal: Journal, target_identity: TargetIdentity | None, *, cluster: str = "ams"
) -> Deletion:
    followed = await journal.follow(await intend(journal, target_identity, cluster=cluster), job_uuid="j")
    return await journal.end(followed, outcome=Outcome.TIMEOUT, code="", message="", now=120.0)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (X, MOVED, True),
        (X, Y, False),
        (X, NAMELESS, True),
        (MOVED, NAMELESS, False),
        (X, TargetIdentity(uuid="1f-y", origin=X.origin), False),
        (NAMELESS, NAMELESS, True),
    ],
)
def test_the_uuid_tells_clusters_apart_and_the_address_where_it_is_not_known(
    one: TargetIdentity, other: TargetIdentity, *, same: bool
) -> None:
    assert one.is_same(other) is other.is_same(one) is same


@pytest.mark.parametrize("target_identity", [X, NAMELESS, None])
async def test_where_a_deletion_is_sent_is_remembered(
    state: str, target_identity: TargetIdentity | None
) -> None:
    async with open_journal(state) as journal:
        intended = await intend(journal, target_identity)
    async with open_journal(state) as journal:
        assert intended.sent_to == target_identity
        assert await journal.unended() == (intended,)
        assert (await journal.follow(intended, job_uuid="j")).sent_to == target_identity


async def test_a_name_may_have_an_unended_deletion_on_each_cluster_that_it_meant(journal: Journal) -> None:
    first = await intend(journal, X)
    second = await intend(journal, Y)
    assert await journal.unended("ams") == (first, second)
    for target_identity in (X, MOVED, Y, None):
        with pytest.raises(JournalError, match=r"another deletion of 9\.9\.1 on ams is unended"):
            await intend(journal, target_identity)


async def test_a_deletion_of_unknown_recipient_may_be_on_any_cluster_of_its_name(journal: Journal) -> None:
    await intend(journal, None)
    for target_identity in (X, Y, None):
        with pytest.raises(JournalError, match=r"another deletion of 9\.9\.1 on ams is unended"):
            await intend(journal, target_identity)


async def test_what_goes_on_is_known_under_every_name_of_its_cluster_and_no_other(journal: Journal) -> None:
    given_up = await give_up(journal, X)
    unended = await intend(journal, X, cluster="fra")
    await give_up(journal, Y, cluster="nyc")
    assert await journal.given_up("ams", target_identity=MOVED) == (given_up, unended)
    assert await journal.given_up("new", target_identity=X) == (given_up, unended)
    assert await journal.given_up("fra", target_identity=X) == (given_up, unended)
    assert (
        await journal.given_up("ams", target_identity=TargetIdentity(uuid="1f-z", origin="https://[::1]:1"))
        == ()
    )


async def test_what_an_older_version_gave_up_goes_on_under_its_own_name(journal: Journal) -> None:
    given_up = await give_up(journal, None)
    assert await journal.given_up("ams", target_identity=X) == (given_up,)
    assert await journal.given_up("fra", target_identity=X) == ()
    newer = await intend(journal, X)
    await journal.end(newer, outcome=Outcome.SUCCESS, code="", message="", now=130.0)
    assert await journal.given_up("ams", target_identity=X) == ()


async def test_a_deletion_on_another_cluster_says_nothing_of_the_one_given_up(journal: Journal) -> None:
    given_up = await give_up(journal, X)
    newer = await intend(journal, Y)
    await journal.end(newer, outcome=Outcome.SUCCESS, code="", message="", now=130.0)
    assert await journal.given_up("ams", target_identity=X) == (given_up,)


async def test_jobs_of_a_cluster_are_known_under_its_later_names(journal: Journal) -> None:
    await give_up(journal, X)
    assert await journal.job_uuids("new", "9.9.1") == frozenset()
    assert await journal.job_uuids("new", "9.9.1", target_identity=MOVED) == {"j"}
    assert await journal.job_uuids("new", "9.9.1", target_identity=Y) == frozenset()


async def test_one_run_of_those_that_were_interrupted_can_be_ended_alone(journal: Journal) -> None:
    going_on, left = await new_run(journal), await new_run(journal)
    assert await journal.end_interrupted_runs(run_id=left, now=200.0) == 1
    assert [run.id for run in await journal.recent_runs(9) if run.ended_timestamp_seconds is None] == [
        going_on
    ]


def make_first_tables(connection: Connection) -> None:
    """Make the tables as the first version did, with a deletion that is unended."""
    METADATA.drop_all(connection)
    r0001_journal.upgrade(Operations(MigrationContext.configure(connection)))
    connection.execute(text("UPDATE cleanup_schema_version SET version_num = '0001'"))
    connection.execute(
        text(
            "INSERT INTO cleanup_runs (id, cluster, policy, dry_run, started_timestamp_seconds, error, plan)"
            " VALUES (1, 'ams', 'old', FALSE, 100.0, '', '[]')"
        )
    )
    connection.execute(
        text(
            "INSERT INTO cleanup_deletions (id, run_id, cluster, policy, version, phase,"
            " intended_timestamp_seconds, attempts, job_uuid, code, message)"
            " VALUES (1, 1, 'ams', 'old', '9.9.1', 'followed', 110.0, 1, 'j', '', '')"
        )
    )


async def test_a_deletion_that_the_first_version_began_keeps_an_unknown_recipient(state: str) -> None:
    async with open_journal(state) as journal:
        connection = journal._database._connection
        await connection.run_sync(make_first_tables)
        await connection.commit()
    async with open_journal(state) as journal:
        (deletion,) = await journal.unended("ams")
        assert (deletion.phase, deletion.job_uuid, deletion.sent_to) == (Phase.FOLLOWED, "j", None)
        ended = await journal.end(deletion, outcome=Outcome.SUCCESS, code="", message="", now=120.0)
        assert ended.sent_to is None
