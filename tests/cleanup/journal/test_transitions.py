"""Every step a deletion may take, and every one it may not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from cleanup.journal.steps import assert_consistent, deletion_in, new_run, succeed

from exporter.cleanup.journal import Journal, JournalError
from exporter.cleanup.records import Deletion, Outcome, Phase

Step = Callable[[Journal, Deletion], Awaitable[Deletion]]

STEPS: dict[str, Step] = {
    "intend_again": lambda journal, deletion: journal.intend_again(deletion),
    "wait": lambda journal, deletion: journal.wait(deletion, code="7", message="busy"),
    "follow": lambda journal, deletion: journal.follow(deletion, job_uuid="j"),
    "end": succeed,
}
ALLOWED = {
    "intend_again": {Phase.WAITING},
    "wait": {Phase.INTENDED, Phase.FOLLOWED},
    "follow": {Phase.INTENDED},
    "end": {Phase.INTENDED, Phase.WAITING, Phase.FOLLOWED},
}
ILLEGAL = [(name, phase) for name in STEPS for phase in Phase if phase not in ALLOWED[name]]


async def test_an_intent_is_recorded_as_given(journal: Journal) -> None:
    run_id = await new_run(journal, cluster="ams", policy="old")
    deletion = await journal.intend(run_id, version="9.9.1", now=110.5)
    assert deletion == Deletion(
        id=deletion.id,
        run_id=run_id,
        cluster="ams",
        policy="old",
        version="9.9.1",
        phase=Phase.INTENDED,
        intended_timestamp_seconds=110.5,
        attempts=1,
        job_uuid=None,
        outcome=None,
        ended_timestamp_seconds=None,
        code="",
        message="",
    )
    assert await journal.unended() == (deletion,)


async def test_a_refusal_is_recorded_with_its_reason(journal: Journal) -> None:
    intended = await deletion_in(journal, Phase.INTENDED)
    waiting = await journal.wait(intended, code="7", message="busy")
    assert waiting == replace(intended, phase=Phase.WAITING, code="7", message="busy")
    assert await journal.unended() == (waiting,)


async def test_a_job_that_failed_for_a_passing_reason_does_not_stand_for_the_next_attempt(
    journal: Journal,
) -> None:
    followed = await deletion_in(journal, Phase.FOLLOWED)
    waiting = await journal.wait(followed, code="7", message="busy")
    assert waiting == replace(followed, phase=Phase.WAITING, code="7", message="busy")
    again = await journal.intend_again(waiting)
    assert again.job_uuid is None
    assert await journal.job_uuids(again.cluster, again.version) == {"j"}
    assert (await journal.follow(again, job_uuid="k")).job_uuid == "k"
    assert await journal.job_uuids(again.cluster, again.version) == {"j", "k"}


async def test_another_intent_counts_the_attempt_and_keeps_the_first_time(journal: Journal) -> None:
    waiting = await deletion_in(journal, Phase.WAITING)
    again = await journal.intend_again(waiting)
    assert again == replace(waiting, phase=Phase.INTENDED, attempts=2, code="", message="")
    assert (await journal.intend_again(await journal.wait(again, code="", message=""))).attempts == 3


@pytest.mark.parametrize("job_uuid", ["4f1a", None])
async def test_an_accepted_deletion_is_followed_with_or_without_a_job(
    journal: Journal, job_uuid: str | None
) -> None:
    intended = await deletion_in(journal, Phase.INTENDED)
    followed = await journal.follow(intended, job_uuid=job_uuid)
    assert followed == replace(intended, phase=Phase.FOLLOWED, job_uuid=job_uuid)
    assert await journal.unended("ams") == (followed,)


@pytest.mark.parametrize("phase", sorted(ALLOWED["end"]))
async def test_an_unended_deletion_ends_from_any_phase_with_any_outcome(
    journal: Journal, phase: Phase
) -> None:
    for outcome in Outcome:
        deletion = await deletion_in(journal, phase)
        ended = await journal.end(deletion, outcome=outcome, code="9", message="so", now=130.0)
        assert ended == replace(
            deletion,
            phase=Phase.ENDED,
            outcome=outcome,
            code="9",
            message="so",
            ended_timestamp_seconds=130.0,
        )
        assert await journal.unended() == ()
        assert (await journal.totals())["ams", "old"].outcomes[outcome] == 1


@pytest.mark.parametrize(("name", "phase"), ILLEGAL)
async def test_an_illegal_step_is_refused_and_changes_nothing(
    journal: Journal, name: str, phase: Phase
) -> None:
    deletion = await deletion_in(journal, phase)
    with pytest.raises(JournalError, match=f"the deletion of 9.9.1 on ams is {phase}"):
        await STEPS[name](journal, deletion)
    assert await assert_consistent(journal) == (deletion,)


async def test_the_database_decides_not_the_value_at_hand(journal: Journal) -> None:
    intended = await deletion_in(journal, Phase.INTENDED)
    await succeed(journal, intended)
    for step in STEPS.values():
        for phase in Phase:
            with pytest.raises(JournalError, match="is ended"):
                await step(journal, replace(intended, phase=phase))


async def test_a_deletion_that_does_not_exist_takes_no_step(journal: Journal) -> None:
    deletion = await deletion_in(journal, Phase.INTENDED)
    for step in STEPS.values():
        with pytest.raises(JournalError, match="there is no deletion 99"):
            await step(journal, replace(deletion, id=99))


async def test_a_package_has_one_unended_deletion_whatever_the_policy(journal: Journal) -> None:
    first = await deletion_in(journal, Phase.WAITING)
    other = await new_run(journal, policy="other")
    with pytest.raises(JournalError, match=r"another deletion of 9\.9\.1 on ams is unended"):
        await journal.intend(other, version="9.9.1", now=111.0)
    await journal.intend(other, version="9.9.2", now=111.0)
    await journal.intend(await new_run(journal, cluster="fra"), version="9.9.1", now=111.0)
    await succeed(journal, first)
    await journal.intend(other, version="9.9.1", now=112.0)


async def test_a_run_that_is_over_intends_nothing(journal: Journal) -> None:
    run_id = await new_run(journal)
    await journal.end_run(run_id, success=True, now=101.0)
    with pytest.raises(JournalError, match=f"run {run_id} has ended"):
        await journal.intend(run_id, version="9.9.1", now=102.0)
    with pytest.raises(JournalError, match=f"run {run_id} has ended"):
        await journal.leave(run_id, version="9.9.1", outcome=Outcome.PROTECTED, message="", now=102.0)
    with pytest.raises(JournalError, match=f"run {run_id} has ended"):
        await journal.end_run(run_id, success=True, now=102.0)


async def test_a_run_that_does_not_exist_intends_nothing(journal: Journal) -> None:
    with pytest.raises(JournalError, match="there is no run 5"):
        await journal.intend(5, version="9.9.1", now=102.0)
    with pytest.raises(JournalError, match="there is no run 5"):
        await journal.end_run(5, success=True, now=102.0)


async def test_a_dry_run_intends_nothing(journal: Journal) -> None:
    run_id = await journal.begin_run(
        cluster="ams", policy="old", dry_run=True, plan="[]", candidates=1, now=100.0
    )
    with pytest.raises(JournalError, match=f"run {run_id} is a dry run"):
        await journal.intend(run_id, version="9.9.1", now=102.0)
    assert await journal.unended() == ()


async def test_a_protected_package_is_counted_at_once_and_never_unended(journal: Journal) -> None:
    deletion = await journal.leave(
        await new_run(journal), version="9.9.1", outcome=Outcome.PROTECTED, message="in use", now=110.0
    )
    assert (deletion.phase, deletion.outcome, deletion.attempts) == (Phase.ENDED, Outcome.PROTECTED, 0)
    assert (deletion.message, deletion.ended_timestamp_seconds) == ("in use", 110.0)
    assert await journal.unended() == ()
    assert (await journal.totals())["ams", "old"].outcomes[Outcome.PROTECTED] == 1
    assert await journal.durations() == {}


async def test_unended_deletions_come_oldest_first_and_by_cluster(journal: Journal) -> None:
    ams = await new_run(journal, cluster="ams")
    fra = await new_run(journal, cluster="fra")
    first = await journal.intend(ams, version="9.9.2", now=300.0)
    second = await journal.intend(fra, version="9.9.1", now=200.0)
    third = await journal.intend(ams, version="9.9.1", now=100.0)
    first = await journal.follow(first, job_uuid=None)
    assert await journal.unended() == (first, second, third)
    assert await journal.unended("ams") == (first, third)
    assert await journal.unended("nobody") == ()


async def give_up(journal: Journal, run_id: int, *, version: str, job_uuid: str | None) -> Deletion:
    followed = await journal.follow(await journal.intend(run_id, version=version, now=1.0), job_uuid=job_uuid)
    return await journal.end(followed, outcome=Outcome.TIMEOUT, code="", message="", now=2.0)


async def test_jobs_that_were_given_up_are_known_until_their_package_is_deleted_anew(
    journal: Journal,
) -> None:
    run_id = await new_run(journal)
    given_up = await give_up(journal, run_id, version="9.9.1", job_uuid="a")
    no_job = await give_up(journal, run_id, version="9.9.2", job_uuid=None)
    await give_up(journal, await new_run(journal, cluster="fra"), version="9.9.3", job_uuid="c")
    assert await journal.given_up("ams") == (given_up, no_job)
    newer = await give_up(journal, run_id, version="9.9.1", job_uuid="b")
    assert await journal.given_up("ams") == (no_job, newer)
    unended = await journal.intend(run_id, version="9.9.1", now=3.0)
    assert await journal.given_up("ams") == (no_job,)
    await succeed(journal, unended)
    assert await journal.given_up("ams") == (no_job,)


async def test_a_job_that_was_denied_to_us_may_go_on_and_a_denied_deletion_does_not(journal: Journal) -> None:
    run_id = await new_run(journal)
    followed = await journal.follow(await journal.intend(run_id, version="9.9.1", now=1.0), job_uuid="a")
    denied_job = await journal.end(followed, outcome=Outcome.DENIED, code="", message="", now=2.0)
    refused = await journal.intend(run_id, version="9.9.2", now=1.0)
    await journal.end(refused, outcome=Outcome.DENIED, code="", message="", now=2.0)
    assert await journal.given_up("ams") == (denied_job,)


async def test_a_protected_package_does_not_hide_the_job_that_was_given_up(journal: Journal) -> None:
    run_id = await new_run(journal)
    given_up = await give_up(journal, run_id, version="9.9.1", job_uuid="a")
    await journal.leave(
        run_id, version="9.9.1", outcome=Outcome.PROTECTED, message="its job may still be running", now=5.0
    )
    assert await journal.given_up("ams") == (given_up,)


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
    journal: Journal, given: str, kept: str | None
) -> None:
    deletion = await deletion_in(journal, Phase.INTENDED)
    ended = await journal.end(deletion, outcome=Outcome.FAILURE, code="1", message=given, now=120.0)
    assert ended.message == (given if kept is None else kept)
    await journal.end_run(deletion.run_id, success=False, error=given, now=130.0)
    (run,) = await journal.recent_runs(1)
    assert (run.error, run.deletions) == (ended.message, (ended,))


async def test_names_with_characters_that_cannot_be_kept_are_found_again(journal: Journal) -> None:
    run_id = await new_run(journal, cluster="a\0", policy="p\ud800")
    deletion = await journal.intend(run_id, version="9\0", now=1.0)
    assert (deletion.cluster, deletion.policy, deletion.version) == ("a\ufffd", "p\ufffd", "9\ufffd")
    assert await journal.unended("a\0") == (deletion,)
    assert set(await journal.totals()) == {("a\ufffd", "p\ufffd")}
