"""Every step a deletion may take, and every one it may not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from exporter.cleanup.journal import Journal, StepRefusedError
from exporter.cleanup.outcomes import Outcome
from exporter.cleanup.records import Deletion, Lease, Phase
from support.journal.journal_steps import (
    AMS,
    FRA,
    assert_consistent,
    deletion_in,
    durations_of,
    end,
    intend,
    lease_of,
    new_run,
    totals_of,
    unfinished_on,
)

Step = Callable[[Journal, Lease, Deletion], Awaitable[Deletion]]

STEPS: dict[str, Step] = {
    "intend_again": lambda journal, lease, deletion: journal.deletions.intend_again(
        lease, deletion, create_timestamp_seconds=50.0
    ),
    "wait": lambda journal, lease, deletion: journal.deletions.wait(
        lease, deletion, code="7", message="busy"
    ),
    "follow": lambda journal, lease, deletion: journal.deletions.follow(lease, deletion, job_uuid="j"),
    "end": end,
}
ALLOWED = {
    "intend_again": {Phase.WAITING},
    "wait": {Phase.INTENDED, Phase.FOLLOWED},
    "follow": {Phase.INTENDED},
    "end": {Phase.INTENDED, Phase.WAITING, Phase.FOLLOWED},
}
ILLEGAL = [(name, phase) for name in STEPS for phase in Phase if phase not in ALLOWED[name]]


async def test_an_intent_is_recorded_as_given(journal: Journal, ams: Lease) -> None:
    run_id = await new_run(journal, ams)
    deletion = await journal.deletions.intend(
        ams,
        run_id,
        version="9.9.1",
        create_timestamp_seconds=55.5,
        earlier_job_uuids=["b", "a"],
        max_deletes_per_day=1,
        policy_digest="d7",
        now=110.5,
    )
    assert deletion == Deletion(
        id=deletion.id,
        run_id=run_id,
        cluster_uuid=AMS,
        cluster="ams",
        policy="old",
        policy_digest="d7",
        version="9.9.1",
        create_timestamp_seconds=55.5,
        phase=Phase.INTENDED,
        intended_timestamp_seconds=110.5,
        attempts=1,
        job_uuid=None,
        earlier_job_uuids=frozenset({"a", "b"}),
        outcome=None,
        ended_timestamp_seconds=None,
        code="",
        message="",
    )
    assert await unfinished_on(journal, AMS) == (deletion,)


async def test_a_refusal_is_recorded_with_its_reason(journal: Journal, ams: Lease) -> None:
    intended = await deletion_in(journal, ams, Phase.INTENDED)
    waiting = await journal.deletions.wait(ams, intended, code="7", message="busy")
    assert waiting == replace(intended, phase=Phase.WAITING, code="7", message="busy")
    assert await unfinished_on(journal, AMS) == (waiting,)


async def test_a_job_that_failed_for_a_passing_reason_does_not_stand_for_the_next_attempt(
    journal: Journal, ams: Lease
) -> None:
    followed = await deletion_in(journal, ams, Phase.FOLLOWED)
    waiting = await journal.deletions.wait(ams, followed, code="7", message="busy")
    assert waiting == replace(followed, phase=Phase.WAITING, code="7", message="busy")
    again = await journal.deletions.intend_again(
        ams, waiting, create_timestamp_seconds=60.0, earlier_job_uuids=["listed"]
    )
    assert (again.job_uuid, again.create_timestamp_seconds) == (None, 60.0)
    assert again.earlier_job_uuids == frozenset({"j", "listed"})
    followed = await journal.deletions.follow(ams, again, job_uuid="k")
    assert (followed.job_uuid, followed.earlier_job_uuids) == ("k", frozenset({"j", "listed"}))
    assert await journal.deletions.job_uuids(AMS, "9.9.1") == {"j", "k", "listed"}


async def test_jobs_of_every_deletion_of_a_version_are_remembered(journal: Journal, ams: Lease) -> None:
    run_id = await new_run(journal, ams)
    for version, job_uuid in (("9.9.1", "a"), ("9.9.1", "b"), ("9.9.2", "c")):
        deletion = await intend(journal, ams, run_id, version=version)
        await end(journal, ams, await journal.deletions.follow(ams, deletion, job_uuid=job_uuid))
    assert await journal.deletions.job_uuids(AMS, "9.9.1") == {"a", "b"}
    assert await journal.deletions.job_uuids(FRA, "9.9.1") == frozenset()


async def test_another_intent_counts_the_attempt_and_keeps_the_first_time(
    journal: Journal, ams: Lease
) -> None:
    waiting = await deletion_in(journal, ams, Phase.WAITING)
    again = await journal.deletions.intend_again(ams, waiting, create_timestamp_seconds=50.0)
    assert again == replace(waiting, phase=Phase.INTENDED, attempts=2, code="", message="")
    waiting = await journal.deletions.wait(ams, again, code="", message="")
    assert (await journal.deletions.intend_again(ams, waiting, create_timestamp_seconds=50.0)).attempts == 3


@pytest.mark.parametrize("job_uuid", ["4f1a", None])
async def test_an_accepted_deletion_is_followed_with_or_without_a_job(
    journal: Journal, ams: Lease, job_uuid: str | None
) -> None:
    intended = await deletion_in(journal, ams, Phase.INTENDED)
    followed = await journal.deletions.follow(ams, intended, job_uuid=job_uuid)
    assert followed == replace(intended, phase=Phase.FOLLOWED, job_uuid=job_uuid)
    assert await unfinished_on(journal, AMS) == (followed,)


async def test_a_job_that_was_not_named_is_recorded_once_it_is_found(journal: Journal, ams: Lease) -> None:
    intended = await deletion_in(journal, ams, Phase.INTENDED)
    followed = await journal.deletions.follow(ams, intended, job_uuid=None)
    found = await journal.deletions.follow(ams, followed, job_uuid="4f1a")
    assert found == replace(followed, job_uuid="4f1a")
    with pytest.raises(StepRefusedError, match="is followed"):
        await journal.deletions.follow(ams, found, job_uuid="another")


@pytest.mark.parametrize("phase", sorted(ALLOWED["end"]))
async def test_an_unfinished_deletion_ends_from_any_phase_with_any_outcome(
    journal: Journal, ams: Lease, phase: Phase
) -> None:
    for outcome in Outcome:
        deletion = await deletion_in(journal, ams, phase)
        ended = await end(journal, ams, deletion, outcome, code="9", message="so", now=130.0)
        assert ended == replace(
            deletion,
            phase=Phase.ENDED,
            outcome=outcome,
            code="9",
            message="so",
            ended_timestamp_seconds=130.0,
        )
        assert await unfinished_on(journal, AMS) == ()
        assert (await totals_of(journal))["ams", "old"].outcomes[outcome] == 1


@pytest.mark.parametrize(("name", "phase"), ILLEGAL)
async def test_an_illegal_step_is_refused_and_changes_nothing(
    journal: Journal, ams: Lease, name: str, phase: Phase
) -> None:
    deletion = await deletion_in(journal, ams, phase)
    with pytest.raises(StepRefusedError, match=f"the deletion of 9.9.1 on ams is {phase}"):
        await STEPS[name](journal, ams, deletion)
    assert await assert_consistent(journal) == [deletion]


async def test_the_database_decides_not_the_value_at_hand(journal: Journal, ams: Lease) -> None:
    intended = await deletion_in(journal, ams, Phase.INTENDED)
    await end(journal, ams, intended)
    for step in STEPS.values():
        for phase in Phase:
            with pytest.raises(StepRefusedError, match="is ended"):
                await step(journal, ams, replace(intended, phase=phase))


async def test_a_deletion_that_does_not_exist_takes_no_step(journal: Journal, ams: Lease) -> None:
    deletion = await deletion_in(journal, ams, Phase.INTENDED)
    for step in STEPS.values():
        with pytest.raises(StepRefusedError, match="there is no deletion 99"):
            await step(journal, ams, replace(deletion, id=99))


@pytest.mark.parametrize("phase", sorted(ALLOWED["end"]))
async def test_a_cluster_has_one_unfinished_deletion_whatever_policy_and_version(
    journal: Journal, ams: Lease, phase: Phase
) -> None:
    first = await deletion_in(journal, ams, phase)
    other = await new_run(journal, ams, policy="other")
    for version in ("9.9.1", "9.9.2"):
        with pytest.raises(StepRefusedError, match="another deletion on ams is unfinished"):
            await intend(journal, ams, other, version=version)
    await deletion_in(journal, await lease_of(journal, FRA), Phase.INTENDED)
    await end(journal, ams, first)
    await intend(journal, ams, other)


async def test_a_run_that_is_over_intends_nothing(journal: Journal, ams: Lease) -> None:
    run_id = await new_run(journal, ams)
    await journal.runs.end(ams, run_id, success=True, now=101.0)
    with pytest.raises(StepRefusedError, match=f"run {run_id} has ended"):
        await intend(journal, ams, run_id)
    with pytest.raises(StepRefusedError, match=f"run {run_id} has ended"):
        await journal.deletions.end_unsent(
            ams, run_id, version="9.9.1", outcome=Outcome.PROTECTED, message="", now=102.0
        )
    with pytest.raises(StepRefusedError, match=f"run {run_id} has ended"):
        await journal.runs.end(ams, run_id, success=True, now=102.0)


async def test_a_run_that_does_not_exist_or_is_another_clusters_intends_nothing(
    journal: Journal, ams: Lease
) -> None:
    elsewhere = await new_run(journal, await lease_of(journal, FRA))
    for run_id in (5, elsewhere):
        with pytest.raises(StepRefusedError, match=f"there is no run {run_id}"):
            await intend(journal, ams, run_id)
        with pytest.raises(StepRefusedError, match=f"there is no run {run_id}"):
            await journal.runs.end(ams, run_id, success=True, now=102.0)


async def test_a_dry_run_intends_nothing(journal: Journal, ams: Lease) -> None:
    run_id = await new_run(journal, ams, dry_run=True)
    with pytest.raises(StepRefusedError, match=f"run {run_id} is a dry run"):
        await intend(journal, ams, run_id)
    assert await unfinished_on(journal, AMS) == ()


async def test_a_package_that_was_left_is_counted_at_once_and_never_unfinished(
    journal: Journal, ams: Lease
) -> None:
    run_id = await new_run(journal, ams)
    deletion = await journal.deletions.end_unsent(
        ams, run_id, version="9.9.1", outcome=Outcome.PROTECTED, message="in use", now=110.0
    )
    assert (deletion.phase, deletion.outcome, deletion.attempts) == (Phase.ENDED, Outcome.PROTECTED, 0)
    assert (deletion.message, deletion.ended_timestamp_seconds) == ("in use", 110.0)
    assert await unfinished_on(journal, AMS) == ()
    assert (await totals_of(journal))["ams", "old"].outcomes[Outcome.PROTECTED] == 1
    assert await durations_of(journal) == {}


async def give_up(
    journal: Journal, lease: Lease, run_id: int, *, version: str, job_uuid: str | None
) -> Deletion:
    intended = await intend(journal, lease, run_id, version=version)
    followed = await journal.deletions.follow(lease, intended, job_uuid=job_uuid)
    return await end(journal, lease, followed, Outcome.TIMEOUT)


async def test_jobs_that_were_given_up_are_known_until_their_package_is_deleted_anew(
    journal: Journal, ams: Lease
) -> None:
    run_id = await new_run(journal, ams)
    fra = await lease_of(journal, FRA)
    given_up = await give_up(journal, ams, run_id, version="9.9.1", job_uuid="a")
    no_job = await give_up(journal, ams, run_id, version="9.9.2", job_uuid=None)
    await give_up(journal, fra, await new_run(journal, fra), version="9.9.3", job_uuid="c")
    assert await journal.deletions.given_up(AMS) == (given_up, no_job)
    newer = await give_up(journal, ams, run_id, version="9.9.1", job_uuid="b")
    assert await journal.deletions.given_up(AMS) == (no_job, newer)
    unfinished = await intend(journal, ams, run_id)
    assert await journal.deletions.given_up(AMS) == (no_job,)
    await end(journal, ams, unfinished)
    assert await journal.deletions.given_up(AMS) == (no_job,)


async def test_a_job_that_was_denied_to_us_may_go_on_and_a_denied_deletion_does_not(
    journal: Journal, ams: Lease
) -> None:
    run_id = await new_run(journal, ams)
    followed = await journal.deletions.follow(ams, await intend(journal, ams, run_id), job_uuid="a")
    denied_job = await end(journal, ams, followed, Outcome.DENIED)
    refused = await intend(journal, ams, run_id, version="9.9.2")
    await end(journal, ams, refused, Outcome.DENIED)
    assert await journal.deletions.given_up(AMS) == (denied_job,)


async def test_a_protected_package_does_not_hide_the_job_that_was_given_up(
    journal: Journal, ams: Lease
) -> None:
    run_id = await new_run(journal, ams)
    given_up = await give_up(journal, ams, run_id, version="9.9.1", job_uuid="a")
    await journal.deletions.end_unsent(
        ams, run_id, version="9.9.1", outcome=Outcome.PROTECTED, message="its job may run", now=5.0
    )
    assert await journal.deletions.given_up(AMS) == (given_up,)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("a\0b", "a\ufffdb"),
        ("a\ud800b\udfff", "a\ufffdb\ufffd"),
        ("Ω≈ç√ 🧹 \u202e\x1b[31m'; DROP TABLE cleanup_runs; --", None),
        ("x" * 1001, "x" * 1000),
    ],
)
async def test_texts_hold_any_character_that_a_database_can_keep(
    journal: Journal, ams: Lease, given: str, kept: str | None
) -> None:
    deletion = await deletion_in(journal, ams, Phase.INTENDED)
    ended = await end(journal, ams, deletion, Outcome.FAILURE, code="1", message=given)
    assert ended.message == (given if kept is None else kept)
    await journal.runs.end(ams, deletion.run_id, success=False, failure="error", error=given, now=130.0)
    (run,) = await journal.runs.recent(1)
    assert (run.error, run.deletions) == (ended.message, (ended,))


async def test_names_with_characters_that_cannot_be_kept_are_found_again(journal: Journal) -> None:
    lease = await lease_of(journal)
    run_id = await journal.runs.begin(
        lease, cluster="a\0", policy="p\ud800", dry_run=False, plan="[]", candidates=1, now=1.0
    )
    deletion = await intend(journal, lease, run_id, version="9\0")
    assert (deletion.cluster, deletion.policy, deletion.version) == ("a\ufffd", "p\ufffd", "9\ufffd")
    assert await unfinished_on(journal, AMS) == (deletion,)
    assert set(await totals_of(journal)) == {("a\ufffd", "p\ufffd")}
    assert await journal.runs.recent(1, clusters={"a\0"})
