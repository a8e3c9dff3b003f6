"""Each outcome, and each error code in the reply and in the job, accounted exactly once."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from exporter.cleanup.kill_switch import boot_time
from exporter.cleanup.outcomes import Outcome, RunFailure
from exporter.cleanup.preflight import may_still_run
from exporter.cleanup.records import Phase
from exporter.ontap.cluster_settings import OAuth2Login, Secret, Tls
from exporter.ontap.requests.facts import CLUSTER_PATH, DOWNLOAD_PATH, NODES_PATH, SOFTWARE_PATH
from exporter.ontap.requests.jobs import JOBS_PATH
from exporter.ontap.requests.listing import PACKAGES_PATH
from exporter.ontap.requests.messages import MAX_ATTEMPTS
from exporter.simulator import (
    DownloadState,
    Fault,
    FaultKind,
    JobOutcome,
    JobScript,
    Node,
    SimulatedCluster,
    UpdateState,
)
from support.cleaning import (
    OLD,
    POLICY,
    QUICK_PACE,
    SHORT,
    at_job_read,
    at_request,
    changed,
    cleaning,
    cluster_with,
    hold_up_intents,
    only,
)
from support.token_endpoint import token_endpoint


async def test_success(tmp_path: Path) -> None:
    async with cleaning(cluster_with("9.12.1", "9.13.1", "9.14.1P2"), tmp_path) as it:
        run = await it.run()
        assert [deletion.outcome for deletion in run.deletions] == [Outcome.SUCCESS] * 2
        assert run.success is True
        assert it.cluster.versions == ("9.14.1P2",)
        assert [one.job_uuid for one in it.cluster.deletions] == [one.job_uuid for one in run.deletions]
        assert it.cluster.jobs.peak == 1
        assert it.status.totals.outcomes[Outcome.SUCCESS] == 2
        assert it.status.totals.last_success is True
        assert it.status.in_progress == 0


async def test_success_within_return_timeout_reads_the_job_all_the_same(tmp_path: Path) -> None:
    async with cleaning(cluster_with("9.13.1", "9.14.1P2"), tmp_path) as it:
        run = await it.run(changed(POLICY, return_timeout=5))
        assert only(run).outcome is Outcome.SUCCESS
        (request,) = it.cluster.requests_to(PACKAGES_PATH, method="DELETE")
        assert request.target == f"{PACKAGES_PATH}/9.13.1?return_timeout=5"
        assert request.body == b""
        assert it.cluster.requests_to(f"{JOBS_PATH}/")


async def test_an_answer_to_delete_may_take_longer_than_a_poll(tmp_path: Path) -> None:
    async with cleaning(cluster_with("9.13.1", "9.14.1P2"), tmp_path) as it:

        def limit_what_follows() -> None:
            it.access.config = replace(it.access.config, poll_timeout=timedelta(seconds=1))

        it.cluster.faults.add(at_request(limit_what_follows, path=SOFTWARE_PATH, skip=1))
        it.cluster.job_script = JobScript(seconds=1.5)
        deletion = only(await it.run(changed(POLICY, return_timeout=5)))
        assert (deletion.outcome, deletion.job_uuid) == (Outcome.SUCCESS, it.cluster.deletions[0].job_uuid)
        requests = [(request.method, request.path) for request in it.cluster.requests]
        sent = requests.index(("DELETE", f"{PACKAGES_PATH}/9.13.1"))
        assert ("GET", JOBS_PATH) not in requests[sent:]  # nothing had to be searched for


async def test_a_dry_run_plans_and_sends_nothing(tmp_path: Path) -> None:
    async with cleaning(cluster_with("9.12.1", "9.14.1P2"), tmp_path) as it:
        run = await it.run(changed(POLICY, dry_run=True))
        assert (run.dry_run, run.success, run.deletions) == (True, True, ())
        verdicts = {one["version"]: (one["verdict"], one["reason"]) for one in json.loads(run.plan)}
        assert verdicts == {"9.12.1": ("delete", "retired"), "9.14.1P2": ("keep", "in_use")}
        assert it.deletes() == 0
        assert it.status.totals.candidates == 1


async def test_what_is_deleted_is_logged_and_what_is_kept_for_debugging_alone(tmp_path: Path) -> None:
    async with cleaning(cluster_with("9.12.1", "9.13.1", "9.14.1P2"), tmp_path) as it:
        with capture_logs() as logs:
            await it.run(changed(POLICY, dry_run=True, exclude=["9.13.1"]))
        judged = [line for line in logs if line["event"] == "package judged"]
        assert {line["version"]: line["log_level"] for line in judged} == {
            "9.12.1": "info",
            "9.13.1": "debug",
            "9.14.1P2": "debug",
        }


async def test_an_empty_repository_is_a_successful_run(tmp_path: Path) -> None:
    async with cleaning(cluster_with(), tmp_path) as it:
        run = await it.run()
        assert (run.success, run.error, run.deletions) == (True, "", ())


IN_REPLY_AND_JOB = [
    ("10551315", Outcome.FAILURE),
    ("10551325", Outcome.FAILURE),
    ("10551322", Outcome.FAILURE),
    ("10551323", Outcome.FAILURE),
    ("10551324", Outcome.FAILURE),
    ("10551326", Outcome.FAILURE),
    ("10551892", Outcome.FAILURE),
    ("10551346", Outcome.BUSY),
    ("10551347", Outcome.BUSY),
    ("10551367", Outcome.BUSY),
    ("10551388", Outcome.BUSY),
    ("262145", Outcome.FAILURE),
]
"""What each code comes to while the package stays where it is."""
NEWER = "2024-05-06T07:08:09+00:00"
BRIEFLY_BUSY = changed(POLICY, retry_busy_for=timedelta(seconds=3))
"""Gives up soon on a busy repository; what ends by itself may take as long as a busy machine needs."""


def late_once(has_happened: Callable[[], bool]) -> Callable[[], float]:
    """Make a clock by which everything takes too long once something has happened."""
    return lambda: boot_time() + (60.0 if has_happened() else 0.0)


@pytest.mark.parametrize(("code", "outcome"), IN_REPLY_AND_JOB)
async def test_each_code_in_the_reply_while_the_package_stays(
    code: str, outcome: Outcome, tmp_path: Path
) -> None:
    async with cleaning(cluster_with("9.13.1", "9.14.1P2"), tmp_path) as it:
        it.cluster.faults.add(Fault(FaultKind.DELETE_ERROR, code=int(code), status=500))
        it.clock = late_once(lambda: it.deletes() > 1)
        run = await it.run()
        deletion = only(run)
        assert (deletion.outcome, deletion.code, deletion.phase) == (outcome, code, Phase.ENDED)
        assert run.success is False
        assert it.status.totals.codes == {code: 1}
        assert (it.deletes() > 1) == (outcome is Outcome.BUSY)
        assert "9.13.1" in it.cluster.versions


@pytest.mark.parametrize("old_style", [False, True])
@pytest.mark.parametrize(("code", "outcome"), IN_REPLY_AND_JOB)
async def test_each_code_in_the_job_while_the_package_stays(
    *, code: str, outcome: Outcome, old_style: bool, tmp_path: Path
) -> None:
    async with cleaning(cluster_with("9.13.1", "9.14.1P2"), tmp_path) as it:
        it.cluster.job_script = JobScript(outcome=JobOutcome.FAILURE, code=int(code), old_style=old_style)
        run = await it.run(BRIEFLY_BUSY if outcome is Outcome.BUSY else POLICY)
        deletion = only(run)
        assert (deletion.outcome, deletion.code) == (outcome, code)
        assert deletion.job_uuid is not None
        assert run.success is False


@pytest.mark.parametrize(("code", "outcome"), [("10551326", Outcome.FAILURE), ("10551367", Outcome.BUSY)])
async def test_the_job_of_a_deletion_that_was_accepted_without_naming_it_is_found(
    code: str, outcome: Outcome, tmp_path: Path
) -> None:
    """Its failure is told as soon as it is over: the package would be listed until job_timeout."""
    async with cleaning(cluster_with("9.13.1", "9.14.1P2"), tmp_path) as it:
        it.cluster.job_script = JobScript(outcome=JobOutcome.FAILURE, code=int(code), seconds=0.2)
        it.cluster.faults.add(Fault(FaultKind.TRUNCATED_JSON, method="DELETE"))
        deletion = only(await it.run(BRIEFLY_BUSY))
        assert (deletion.outcome, deletion.code) == (outcome, code)
        assert deletion.job_uuid in {job.uuid for job in it.cluster.jobs.readable()}


@pytest.mark.parametrize(("code", "status"), [(4, 404), (13001, 500)])
async def test_a_job_that_can_be_read_only_after_a_while_is_followed_to_its_success(
    code: int, status: int, tmp_path: Path
) -> None:
    """FSx says "entry doesn't exist" of a job that it has just named; a management daemon may be busy."""
    async with cleaning(cluster_with("9.13.1", "9.14.1P2"), tmp_path) as it:
        not_yet = Fault(FaultKind.ERROR, path=f"{JOBS_PATH}/", code=code, status=status, times=3)
        it.cluster.faults.add(not_yet, at_job_read(it.cluster.release_jobs, skip=3))
        it.cluster.hold_jobs()
        run = await it.run()
        assert (only(run).outcome, only(run).code) == (Outcome.SUCCESS, "")
        assert it.deletes() == 1
        assert len(it.cluster.requests_to(f"{JOBS_PATH}/{only(run).job_uuid}")) > 3


@pytest.mark.parametrize("code", ["10551315", "10551325", "4"])
@pytest.mark.parametrize("status", [404, 400, 500])
async def test_a_reply_that_says_it_is_gone_is_believed_after_a_look(
    code: str, status: int, tmp_path: Path
) -> None:
    async with cleaning(cluster_with("9.13.1", "9.14.1P2"), tmp_path) as it:
        fault = Fault(FaultKind.DELETE_ERROR, code=int(code), status=status)
        it.cluster.faults.add(fault, vanish_at_delete(it.cluster, "9.13.1"))
        run = await it.run()
        assert (only(run).outcome, only(run).code) == (Outcome.ALREADY_GONE, code)
        assert run.success is True


def vanish_at_delete(cluster: SimulatedCluster, version: str) -> Fault:
    """Take the package away, as if by another's hand, when DELETE comes in."""
    removing = partial(cluster.remove_package, version)
    return at_request(removing, method="DELETE", path=f"{PACKAGES_PATH}/{version}")


@pytest.mark.parametrize("code", ["10551388", "10551322", "10551323", "10551324"])
async def test_a_code_that_leaves_it_open_is_a_success_where_the_package_is_gone(
    code: str, tmp_path: Path
) -> None:
    async with cleaning(cluster_with("9.13.1", "9.14.1P2"), tmp_path) as it:
        script = JobScript(outcome=JobOutcome.FAILURE, code=int(code), takes_effect=True)
        it.cluster.job_script = script
        run = await it.run()
        assert (only(run).outcome, only(run).code) == (Outcome.SUCCESS, "")
        assert it.deletes() == 1


@pytest.mark.parametrize("code", ["10551325", "10551315", "4"])
async def test_a_job_that_finds_nothing_is_already_gone_where_the_package_is(
    code: str, tmp_path: Path
) -> None:
    async with cleaning(cluster_with("9.13.1", "9.14.1P2"), tmp_path) as it:
        it.cluster.job_script = JobScript(outcome=JobOutcome.FAILURE, code=int(code), old_style=True)
        it.cluster.faults.add(at_job_read(partial(it.cluster.remove_package, "9.13.1")))
        run = await it.run()
        assert only(run).outcome is Outcome.ALREADY_GONE


async def test_a_deletion_is_of_the_package_that_the_last_decision_was_about(tmp_path: Path) -> None:
    """Between plan and decision, the package is uploaded again."""
    uploaded = "2019-06-01T00:00:00+00:00"

    def upload_again() -> None:
        it.cluster.remove_package("9.13.1")
        it.cluster.add_package(("9.13.1", uploaded))

    async with cleaning(cluster_with("9.13.1", "9.14.1P2"), tmp_path) as it:
        it.cluster.faults.add(at_request(upload_again, path=JOBS_PATH))
        deletion = only(await it.run())
        assert deletion.create_timestamp_seconds == datetime.fromisoformat(uploaded).timestamp()
        assert deletion.outcome is Outcome.SUCCESS


async def test_a_busy_repository_is_tried_again_until_it_gives_way(tmp_path: Path) -> None:
    async with cleaning(cluster_with("9.13.1", "9.14.1P2"), tmp_path) as it:
        it.cluster.faults.add(Fault(FaultKind.DELETE_ERROR, code=10551367, times=3))
        deletion = only(await it.run())
        assert (deletion.outcome, deletion.attempts, deletion.code) == (Outcome.SUCCESS, 4, "")


async def test_too_many_requests_respect_retry_after(tmp_path: Path) -> None:
    async with cleaning(cluster_with("9.13.1", "9.14.1P2"), tmp_path) as it:
        it.cluster.faults.add(Fault(FaultKind.TOO_MANY_REQUESTS, method="DELETE", retry_after="1", times=1))
        assert only(await it.run()).outcome is Outcome.SUCCESS
        first, second = it.cluster.requests_to(PACKAGES_PATH, method="DELETE")
        assert second.monotonic_seconds - first.monotonic_seconds >= 1


async def test_a_pause_that_ends_too_late_ends_all_sending_to_the_cluster(tmp_path: Path) -> None:
    async with cleaning(cluster_with("9.11.1", "9.12.1", "9.14.1P2"), tmp_path) as it:
        limited = Fault(FaultKind.TOO_MANY_REQUESTS, method="DELETE", retry_after="3600", times=1)
        it.cluster.faults.add(limited)
        run = await it.run()
        assert (only(run).outcome, only(run).attempts) == (Outcome.BUSY, 1)
        assert "asks for a pause" in run.error
        again = await it.run()
        assert (again.success, again.deletions, it.deletes()) == (False, (), 1)


async def test_a_pause_that_ends_in_time_is_waited_for(tmp_path: Path) -> None:
    async with cleaning(cluster_with("9.13.1", "9.14.1P2"), tmp_path) as it:
        begun = asyncio.get_running_loop().time()
        it.access.account.deletions_wait_until = begun + 0.5
        assert only(await it.run()).outcome is Outcome.SUCCESS
        assert asyncio.get_running_loop().time() - begun >= 0.5


async def test_a_pause_that_a_fact_asked_for_counts_for_delete(tmp_path: Path) -> None:
    async with cleaning(cluster_with("9.13.1", "9.14.1P2"), tmp_path) as it:
        limited = Fault(
            FaultKind.TOO_MANY_REQUESTS, path=SOFTWARE_PATH, exact=True, retry_after="3600", skip=1, times=1
        )
        it.cluster.faults.add(limited)
        assert "could not be read" in (await it.run()).error
        run = await it.run()
        assert "asks for a pause" in run.error
        assert (run.deletions, it.deletes()) == ((), 0)


async def test_a_job_is_not_read_before_the_pause_is_over_that_the_cluster_asks_for(tmp_path: Path) -> None:
    async with cleaning(cluster_with("9.13.1", "9.14.1P2"), tmp_path) as it:
        limited = Fault(
            FaultKind.TOO_MANY_REQUESTS, path=f"{JOBS_PATH}/", retry_after="0.5", times=MAX_ATTEMPTS
        )
        it.cluster.faults.add(limited)
        assert only(await it.run()).outcome is Outcome.SUCCESS
        reads = [request.monotonic_seconds for request in it.cluster.requests_to(f"{JOBS_PATH}/")]
        assert reads[MAX_ATTEMPTS] - reads[MAX_ATTEMPTS - 1] >= 0.5


@pytest.mark.parametrize("intent_seconds", [0.0, 1.0])
@pytest.mark.parametrize(
    ("what", "message"),
    [("certificate", "the TLS handshake failed"), ("token", "the token endpoint gives no token: HTTP 503")],
)
async def test_what_fails_before_delete_is_sent_is_busy(
    what: str, message: str, intent_seconds: float, tmp_path: Path
) -> None:
    """Everything that is read before DELETE is read well; then nothing more can be sent.

    After a slow intent, what fails is not DELETE but the question which cluster answers.
    """
    fact_seconds = 1.2
    async with token_endpoint(tmp_path) as endpoint:
        lifetime_seconds = 1 if what == "token" else 3600
        token = {"access_token": "token-1", "token_type": "bearer", "expires_in": lifetime_seconds}
        endpoint.answer = (200, json.dumps(token))
        secret = Secret(value="made-up")
        tls = Tls(ca_file=endpoint.ca_file)
        login = OAuth2Login(client_id="exporter", client_secret=secret, token_url=endpoint.url, tls=tls)
        cluster = cluster_with("9.13.1", "9.14.1P2", bearer_token="token-1")
        async with cleaning(cluster, tmp_path, login=login) as it:

            def break_it() -> None:
                if what == "token":
                    endpoint.answer = (503, "{}")
                else:
                    shutil.copy(endpoint.ca_file, it.simulator.ca_file)
                hold_up_intents(tmp_path, seconds=fact_seconds + intent_seconds)

            last = Fault(FaultKind.LATENCY, path=SOFTWARE_PATH, exact=True, skip=1, seconds=fact_seconds)
            it.cluster.faults.add(at_request(break_it, path=SOFTWARE_PATH, skip=1), last)
            run = await it.run(SHORT)
            deletion = only(run)
            assert (deletion.outcome, deletion.attempts, it.deletes()) == (Outcome.BUSY, 1, 0)
            assert message in deletion.message


@pytest.mark.parametrize(
    ("fault", "job_lists", "outcome"),
    [
        (Fault(FaultKind.JOB_FAILURE, code=10551388, times=1), 1, Outcome.SUCCESS),
        (
            Fault(FaultKind.DELETE_ERROR, code=10551388, status=503, times=1),
            1 + QUICK_PACE.checks,
            Outcome.SUCCESS,
        ),
        (Fault(FaultKind.DELETE_ERROR, code=10551367, times=1), 1, Outcome.ALREADY_GONE),
        (Fault(FaultKind.JOB_FAILURE, code=10551367, times=1), 1, Outcome.ALREADY_GONE),
    ],
    ids=["late job", "late answer", "refused", "refused job"],
)
async def test_a_package_that_vanishes_while_delete_waits_is_a_success_only_if_delete_may_have_done_it(
    fault: Fault, job_lists: int, outcome: Outcome, tmp_path: Path
) -> None:
    """Deciding again begins with the list of jobs; the package goes right then."""
    async with cleaning(cluster_with("9.13.1", "9.14.1P2"), tmp_path) as it:
        vanishing = at_request(
            lambda: it.cluster.remove_package("9.13.1"), path=JOBS_PATH, skip=job_lists, times=1
        )
        it.cluster.faults.add(fault, vanishing)
        run = await it.run()
        assert (only(run).outcome, only(run).attempts, it.deletes()) == (outcome, 1, 1)


async def test_a_delete_that_finds_what_an_earlier_one_deleted_is_a_success(tmp_path: Path) -> None:
    async with cleaning(cluster_with("9.13.1", "9.14.1P2"), tmp_path) as it:
        vanishing = at_request(
            lambda: it.cluster.remove_package("9.13.1"),
            path=f"{PACKAGES_PATH}/9.13.1",
            method="DELETE",
            skip=1,
        )
        it.cluster.faults.add(Fault(FaultKind.JOB_FAILURE, code=10551388, times=1), vanishing)
        deletion = only(await it.run())
        assert (deletion.outcome, deletion.code, it.deletes()) == (Outcome.SUCCESS, "", 2)


@pytest.mark.parametrize("kind", [FaultKind.UNAUTHORIZED, FaultKind.FORBIDDEN])
async def test_denied_ends_the_run(kind: FaultKind, tmp_path: Path) -> None:
    async with cleaning(cluster_with("9.11.1", "9.12.1", "9.13.1", "9.14.1P2"), tmp_path) as it:
        it.cluster.faults.add(Fault(kind, method="DELETE"))
        run = await it.run()
        assert only(run).outcome is Outcome.DENIED
        assert (run.success, it.deletes()) == (False, 1)
        assert (it.access.account.refusals.in_a_row == 1) == (kind is FaultKind.UNAUTHORIZED)


async def test_a_job_that_never_ends_is_a_timeout(tmp_path: Path) -> None:
    async with cleaning(cluster_with("9.13.1", "9.14.1P2"), tmp_path) as it:
        it.cluster.job_script = JobScript(outcome=JobOutcome.NEVER)
        run = await it.run(SHORT)
        assert only(run).outcome is Outcome.TIMEOUT
        again = await it.run(SHORT)
        assert again.deletions == ()
        assert json.loads(again.plan)[0]["reason"] == "being_deleted"
        assert it.deletes() == 1


async def test_after_a_timeout_nothing_else_is_deleted_while_the_job_may_go_on(tmp_path: Path) -> None:
    async with cleaning(cluster_with("9.12.1", "9.13.1", "9.14.1P2"), tmp_path) as it:
        it.cluster.hold_jobs()
        run = await it.run(SHORT)
        assert only(run).outcome is Outcome.TIMEOUT
        assert run.error == "the deletion of 9.12.1 may still be going on, so the run ended"
        again = await it.run()
        assert (again.success, again.deletions) == (False, ())
        assert again.error == "an earlier deletion may still be going on: 9.12.1"
        assert (it.deletes(), it.cluster.jobs.peak) == (1, 1)
        it.cluster.release_jobs()
        await it.cluster.wait_for_deletions(1)
        assert only(await it.run()).version == "9.13.1"


async def test_a_job_that_a_401_hid_is_not_followed_by_another_delete(tmp_path: Path) -> None:
    async with cleaning(cluster_with("9.13.1", "9.14.1P2"), tmp_path) as it:
        it.cluster.hold_jobs()
        it.cluster.faults.add(Fault(FaultKind.UNAUTHORIZED, path=f"{JOBS_PATH}/", times=1))
        assert only(await it.run()).outcome is Outcome.DENIED
        it.access.account.refusals.accepted()
        assert (await it.run()).deletions == ()
        assert it.deletes() == 1


async def test_a_given_up_deletion_that_nothing_tells_of_is_forgotten_after_a_day(tmp_path: Path) -> None:
    async with cleaning(cluster_with("9.13.1", "9.14.1P2"), tmp_path) as it:
        it.cluster.hold_jobs()
        given_up = only(await it.run(SHORT))
        it.cluster.faults.add(Fault(FaultKind.FORBIDDEN, path=JOBS_PATH))
        now = time.time()
        assert await may_still_run(it.access, given_up, now=now)
        assert not await may_still_run(it.access, given_up, now=now + 90_000)


async def test_a_job_that_ends_after_its_timeout_frees_the_version_again(tmp_path: Path) -> None:
    async with cleaning(cluster_with("9.13.1", "9.14.1P2"), tmp_path) as it:
        it.cluster.hold_jobs()
        assert only(await it.run(SHORT)).outcome is Outcome.TIMEOUT
        it.cluster.release_jobs()
        await it.cluster.wait_for_deletions(1)
        run = await it.run()
        assert (run.success, run.deletions) == (True, ())


@pytest.mark.parametrize("word", ["paused", "dissolving"])
async def test_a_word_that_is_not_the_end_is_not_the_end(word: str, tmp_path: Path) -> None:
    async with cleaning(cluster_with("9.13.1", "9.14.1P2"), tmp_path) as it:
        it.cluster.job_script = JobScript(running_state=word, seconds=0.2)
        assert only(await it.run()).outcome is Outcome.SUCCESS


@pytest.mark.parametrize(("effective", "outcome"), [(True, Outcome.SUCCESS), (False, Outcome.TIMEOUT)])
async def test_a_job_that_is_not_found_is_judged_by_the_listing_for_as_long_as_it_may_yet_exist(
    *, effective: bool, outcome: Outcome, tmp_path: Path
) -> None:
    async with cleaning(cluster_with("9.13.1", "9.14.1P2"), tmp_path) as it:
        ends = JobOutcome.SUCCESS if effective else JobOutcome.FAILURE
        it.cluster.job_script = JobScript(outcome=ends, retention_seconds=0.0, seconds=0.0)
        assert only(await it.run(POLICY if effective else SHORT)).outcome is outcome


@pytest.mark.parametrize(
    "kind", [FaultKind.RESET, FaultKind.UNAVAILABLE, FaultKind.SERVER_ERROR, FaultKind.HTML]
)
async def test_a_few_failed_reads_are_no_verdict_on_the_job(kind: FaultKind, tmp_path: Path) -> None:
    async with cleaning(cluster_with("9.13.1", "9.14.1P2"), tmp_path) as it:
        it.cluster.faults.add(Fault(kind, path=f"{JOBS_PATH}/", times=2))
        assert only(await it.run()).outcome is Outcome.SUCCESS
        assert it.deletes() == 1


async def test_jobs_that_a_role_hides_are_followed_by_the_listing(tmp_path: Path) -> None:
    async with cleaning(cluster_with("9.13.1", "9.14.1P2"), tmp_path) as it:
        it.cluster.faults.add(Fault(FaultKind.FORBIDDEN, path=JOBS_PATH))
        assert only(await it.run()).outcome is Outcome.SUCCESS


async def test_a_lost_answer_of_a_deletion_that_was_done_is_a_success(tmp_path: Path) -> None:
    async with cleaning(cluster_with("9.13.1", "9.14.1P2"), tmp_path) as it:
        it.cluster.faults.add(Fault(FaultKind.LOST_ANSWER, method="DELETE", times=1))
        assert only(await it.run()).outcome is Outcome.SUCCESS
        assert it.deletes() == 1


async def test_after_a_lost_answer_another_package_of_that_version_is_not_the_one_that_was_deleted(
    tmp_path: Path,
) -> None:
    async with cleaning(cluster_with("9.13.1", "9.14.1P2"), tmp_path) as it:

        def put_another_there() -> None:
            assert it.cluster.versions == ("9.14.1P2",)
            it.cluster.add_package(("9.13.1", NEWER))

        it.cluster.job_script = JobScript(seconds=0.0, retention_seconds=0.0)
        it.cluster.faults.add(
            Fault(FaultKind.LOST_ANSWER, method="DELETE", times=1),
            at_request(put_another_there, path=PACKAGES_PATH, skip=2),
        )
        deletion = only(await it.run())
        assert (deletion.outcome, deletion.job_uuid) == (Outcome.SUCCESS, None)
        assert (it.deletes(), it.cluster.versions) == (1, ("9.14.1P2", "9.13.1"))


async def test_a_job_that_ends_during_the_last_search_is_a_success(tmp_path: Path) -> None:
    """Nothing names the job: the cluster lists none, and forgets it at its end."""
    async with cleaning(cluster_with("9.13.1", "9.14.1P2"), tmp_path) as it:
        it.pace = replace(QUICK_PACE, checks=1, in_flight_seconds=0.0)
        reads = 0

        class EndingTheJob(Fault):
            def matches(self, method: str, path: str, page: int | None) -> bool:
                del page
                nonlocal reads
                if it.deletes() and method == "GET" and path in {JOBS_PATH, PACKAGES_PATH}:
                    reads += 1
                    if reads == 2:
                        it.cluster.release_jobs()
                return False

        it.cluster.hold_jobs()
        it.cluster.job_script = JobScript(seconds=0.0, retention_seconds=0.0)
        it.cluster.faults.add(
            EndingTheJob(FaultKind.LATENCY),
            Fault(FaultKind.LOST_ANSWER, method="DELETE", times=1),
            Fault(FaultKind.REPLY, path=JOBS_PATH, exact=True, skip=1, body=b'{"records": []}'),
        )
        deletion = only(await it.run())
        assert (deletion.outcome, deletion.job_uuid) == (Outcome.SUCCESS, None)
        assert (it.deletes(), reads) == (1, 2)


async def test_a_lost_answer_of_a_job_that_runs_finds_the_job(tmp_path: Path) -> None:
    async with cleaning(cluster_with("9.13.1", "9.14.1P2"), tmp_path) as it:
        it.cluster.job_script = JobScript(outcome=JobOutcome.FAILURE, code=10551892, seconds=0.3)
        it.cluster.faults.add(Fault(FaultKind.LOST_ANSWER, method="DELETE", times=1))
        deletion = only(await it.run())
        assert (deletion.outcome, deletion.code) == (Outcome.FAILURE, "10551892")
        assert deletion.job_uuid is not None
        assert it.deletes() == 1


async def test_a_deletion_that_never_arrived_is_not_sent_again_blindly(tmp_path: Path) -> None:
    async with cleaning(cluster_with("9.13.1", "9.14.1P2"), tmp_path) as it:
        it.cluster.faults.add(Fault(FaultKind.RESET, method="DELETE"))
        assert only(await it.run()).outcome is Outcome.FAILURE
        assert it.deletes() == 1
        it.cluster.faults.clear()
        assert only(await it.run()).outcome is Outcome.SUCCESS


@pytest.mark.parametrize(
    "change",
    [
        lambda cluster: setattr(cluster, "pending_version", "9.13.1"),
        lambda cluster: setattr(cluster, "nodes", (Node("n1", "9.14.1P2"), Node("n2", "9.13.1"))),
        lambda cluster: setattr(cluster, "version", "9.13.1"),
        lambda cluster: setattr(cluster, "update_state", UpdateState.IN_PROGRESS),
        lambda cluster: setattr(cluster, "download_state", DownloadState.RUNNING),
    ],
    ids=["pending", "node", "cluster", "update", "download"],
)
async def test_what_comes_into_use_after_the_plan_is_protected(change: object, tmp_path: Path) -> None:
    async with cleaning(cluster_with("9.12.1", "9.13.1", "9.14.1P2"), tmp_path) as it:

        class Changing(Fault):
            def matches(self, method: str, path: str, page: int | None) -> bool:
                del page
                if method == "DELETE" and path.endswith("/9.12.1"):
                    change(it.cluster)  # type: ignore[operator]
                return False

        it.cluster.faults.add(Changing(FaultKind.LATENCY))
        it.cluster.refuses_during_update = False
        run = await it.run()
        outcomes = {deletion.version: deletion.outcome for deletion in run.deletions}
        assert outcomes == {"9.12.1": Outcome.SUCCESS, "9.13.1": Outcome.PROTECTED}
        assert it.deletes("9.13.1") == 0
        assert run.success is True


@pytest.mark.parametrize(
    "fault",
    [
        Fault(FaultKind.REPLY, path=DOWNLOAD_PATH, body=b"{}"),
        Fault(FaultKind.REPLY, path=DOWNLOAD_PATH, body=b'{"_links": {"self": {"href": "/x"}}}'),
        Fault(FaultKind.ERROR, path=DOWNLOAD_PATH, status=404, code=4, message="entry doesn't exist"),
    ],
    ids=["empty", "links alone", "no entry"],
)
async def test_a_cluster_that_has_never_downloaded_a_package_is_cleaned(fault: Fault, tmp_path: Path) -> None:
    async with cleaning(cluster_with("9.13.1", "9.14.1P2"), tmp_path) as it:
        it.cluster.faults.add(fault)
        assert only(await it.run()).outcome is Outcome.SUCCESS


@pytest.mark.parametrize(
    "fault",
    [
        Fault(FaultKind.ERROR, path=DOWNLOAD_PATH, status=404, code=4, message="temporarily locked"),
        Fault(FaultKind.ERROR, path=DOWNLOAD_PATH, status=404, code=3, message="API not found"),
        Fault(FaultKind.ERROR, path=DOWNLOAD_PATH, status=500, code=4, message="entry doesn't exist"),
        Fault(FaultKind.REPLY, path=DOWNLOAD_PATH, body=b"[]"),
        Fault(FaultKind.REPLY, path=DOWNLOAD_PATH, body=b'{"state": ["running"]}'),
        Fault(FaultKind.REPLY, path=DOWNLOAD_PATH, body=b""),
        Fault(FaultKind.FORBIDDEN, path=DOWNLOAD_PATH),
    ],
    ids=["locked", "no such API", "an error", "a list", "no word", "nothing", "forbidden"],
)
async def test_where_a_download_may_be_running_nothing_is_deleted(fault: Fault, tmp_path: Path) -> None:
    async with cleaning(cluster_with("9.13.1", "9.14.1P2"), tmp_path) as it:
        it.cluster.faults.add(fault)
        run = await it.run()
        assert (run.deletions, it.deletes()) == ((), 0)


async def test_the_code_for_a_running_download_counts_whatever_the_state(tmp_path: Path) -> None:
    async with cleaning(cluster_with("9.13.1", "9.14.1P2", download_state="success"), tmp_path) as it:
        it.cluster.download_code = 10551382
        run = await it.run()
        assert (run.deletions, it.deletes()) == ((), 0)
        assert {one["reason"] for one in json.loads(run.plan)} == {"download_running"}


async def test_where_the_release_has_no_state_of_the_download_nothing_is_deleted(tmp_path: Path) -> None:
    async with cleaning(cluster_with("9.5", "9.6", version="9.6"), tmp_path) as it:
        run = await it.run()
        assert (run.deletions, it.deletes()) == ((), 0)
        assert "API not found" in run.error


@pytest.mark.parametrize("version", ["9.7", "9.8P1", "9.9.1"])
async def test_jobs_are_read_on_releases_before_and_after_their_field_error(
    version: str, tmp_path: Path
) -> None:
    async with cleaning(cluster_with("9.5", "9.6", version, version=version), tmp_path) as it:
        it.cluster.job_scripts["9.6"] = JobScript(outcome=JobOutcome.FAILURE, code=10551892)
        run = await it.run()
        assert [(one.version, one.outcome, one.code) for one in run.deletions] == [
            ("9.5", Outcome.SUCCESS, ""),
            ("9.6", Outcome.FAILURE, "10551892"),
        ]
        assert [one.job_uuid is not None for one in run.deletions] == [True, True]


UP = {"version": "9.14.1P2", "state": "completed", "nodes": [{"name": "n1", "version": "9.14.1P2"}]}
"""What the cluster states of its software while its other node is down."""


async def test_a_version_is_in_use_that_only_the_list_of_nodes_names(tmp_path: Path) -> None:
    cluster = cluster_with("9.12.1", "9.13.1", "9.14.1P2", software_document=UP)
    cluster.nodes = (Node("n1", "9.14.1P2"), Node("n2", "9.13.1"))
    async with cleaning(cluster, tmp_path) as it:
        run = await it.run()
        assert [one.version for one in run.deletions] == ["9.12.1"]
        reasons = {one["version"]: one["reason"] for one in json.loads(run.plan)}
        assert reasons["9.13.1"] == "in_use"


async def test_a_version_is_in_use_that_only_the_software_document_names(tmp_path: Path) -> None:
    named = [{"name": "n1", "version": "9.14.1P2"}, {"name": "n2", "version": "9.13.1"}]
    cluster = cluster_with("9.12.1", "9.13.1", "9.14.1P2", software_document={**UP, "nodes": named})
    async with cleaning(cluster, tmp_path) as it:
        assert [one.version for one in (await it.run()).deletions] == ["9.12.1"]


async def test_while_a_node_is_down_nothing_is_deleted(tmp_path: Path) -> None:
    cluster = cluster_with("9.12.1", "9.13.1", "9.14.1P2")
    cluster.nodes = (Node("n1", "9.14.1P2"), Node("n2", "9.13.1", state="down"))
    async with cleaning(cluster, tmp_path) as it:
        run = await it.run()
        assert (run.deletions, it.deletes()) == ((), 0)
        assert "does not say in full which versions are in use" in run.error


@pytest.mark.parametrize(
    ("fault", "failure", "error"),
    [
        (Fault(FaultKind.FORBIDDEN, path=NODES_PATH), RunFailure.DENIED, "HTTP 403"),
        (Fault(FaultKind.ERROR, path=NODES_PATH, status=404, code=3), RunFailure.UNREADABLE, "HTTP 404"),
        (Fault(FaultKind.HTML, path=NODES_PATH, status=404), RunFailure.UNREADABLE, "HTTP 404"),
        (
            Fault(FaultKind.REPLY, path=NODES_PATH, body=b'{"records": [], "num_records": 0}'),
            RunFailure.UNREADABLE,
            "does not say in full which versions are in use",
        ),
    ],
    ids=["forbidden", "no such API", "not found", "no node"],
)
async def test_where_the_list_of_nodes_is_refused_the_software_document_decides(
    fault: Fault, failure: RunFailure, error: str, tmp_path: Path
) -> None:
    async with cleaning(cluster_with("9.12.1", "9.14.1P2"), tmp_path) as it:
        it.cluster.faults.add(fault)
        assert only(await it.run()).outcome is Outcome.SUCCESS
        it.cluster.add_package(("9.13.1", OLD))
        it.cluster.software_document = {"version": "9.14.1P2", "state": "completed"}
        run = await it.run()
        assert (run.success, run.failure, run.deletions) == (False, failure, ())
        assert error in run.error


@pytest.mark.parametrize(
    "fault",
    [
        Fault(FaultKind.SERVER_ERROR, path=NODES_PATH),
        Fault(FaultKind.HTML, path=NODES_PATH),
        Fault(FaultKind.REPLY, path=NODES_PATH, body=b'{"num_records": 0}'),
        Fault(FaultKind.UNAUTHORIZED, path=NODES_PATH),
    ],
    ids=["an error", "no JSON", "no list", "unauthorized"],
)
async def test_where_the_list_of_nodes_cannot_be_read_nothing_is_deleted(
    fault: Fault, tmp_path: Path
) -> None:
    async with cleaning(cluster_with("9.12.1", "9.14.1P2"), tmp_path) as it:
        it.cluster.faults.add(fault)
        run = await it.run()
        assert (run.success, run.deletions, it.deletes()) == (False, (), 0)


async def test_the_software_document_is_read_last_before_delete(tmp_path: Path) -> None:
    async with cleaning(cluster_with("9.13.1", "9.14.1P2"), tmp_path) as it:
        await it.run()
        sent = next(number for number, one in enumerate(it.cluster.requests) if one.method == "DELETE")
        before = [request.path for request in it.cluster.requests[:sent]]
        if before[-1] == CLUSTER_PATH:  # the intent was stored slowly
            before.pop()
        assert before[-3:] == [NODES_PATH, DOWNLOAD_PATH, SOFTWARE_PATH]


async def test_what_somebody_else_deleted_after_the_plan_is_already_gone(tmp_path: Path) -> None:
    async with cleaning(cluster_with("9.12.1", "9.13.1", "9.14.1P2"), tmp_path) as it:
        removing = partial(it.cluster.remove_package, "9.13.1")
        it.cluster.faults.add(at_request(removing, method="DELETE", path=f"{PACKAGES_PATH}/9.12.1"))
        run = await it.run()
        assert run.deletions[1].outcome is Outcome.ALREADY_GONE
        assert it.deletes("9.13.1") == 0


@pytest.mark.parametrize("path", [PACKAGES_PATH, SOFTWARE_PATH, f"{SOFTWARE_PATH}/download", "/api/cluster"])
async def test_a_fact_that_cannot_be_read_deletes_nothing(path: str, tmp_path: Path) -> None:
    async with cleaning(cluster_with("9.12.1", "9.14.1P2"), tmp_path) as it:
        it.cluster.faults.add(Fault(FaultKind.FORBIDDEN, path=path, exact=True))
        run = await it.run()
        assert (run.success, run.deletions) == (False, ())
        assert "could not be read" in run.error
        assert it.deletes() == 0
        if path == PACKAGES_PATH:
            assert json.loads(run.plan) == []
        else:
            assert {one["reason"] for one in json.loads(run.plan)} == {"facts_unknown"}


@pytest.mark.parametrize(
    "kind", [FaultKind.PAGING_BACK, FaultKind.EMPTY_PAGE, FaultKind.TRUNCATED_JSON, FaultKind.FOREIGN_LINK]
)
async def test_an_incomplete_listing_deletes_nothing(kind: FaultKind, tmp_path: Path) -> None:
    async with cleaning(cluster_with("9.12.1", "9.14.1P2"), tmp_path) as it:
        it.cluster.faults.add(Fault(kind))
        run = await it.run()
        assert (run.success, json.loads(run.plan), it.deletes()) == (False, [], 0)


async def test_facts_that_fail_between_plan_and_delete_send_nothing(tmp_path: Path) -> None:
    async with cleaning(cluster_with("9.12.1", "9.14.1P2"), tmp_path) as it:
        it.cluster.faults.add(Fault(FaultKind.SERVER_ERROR, path=SOFTWARE_PATH, exact=True, skip=1))
        run = await it.run()
        assert (run.success, run.deletions, it.deletes()) == (False, (), 0)


async def test_a_halt_sends_nothing_and_says_so(tmp_path: Path) -> None:
    async with cleaning(cluster_with("9.12.1", "9.14.1P2"), tmp_path) as it:
        it.kill_switch.engage()
        run = await it.run()
        assert (run.success, run.error, it.deletes()) == (False, "the kill switch is on", 0)


async def test_names_that_mean_more_than_themselves_never_reach_the_wire(tmp_path: Path) -> None:
    odd = (".", "..", "a/b", "9.13.1?x=1", "9.13.1%2F", "*")
    async with cleaning(cluster_with(*odd, "9.14.1P2"), tmp_path) as it:
        run = await it.run()
        assert run.deletions == ()
        assert it.deletes() == 0
        assert it.cluster.collection_deletes == 0
        reasons = {one["version"]: one["reason"] for one in json.loads(run.plan)}
        assert {reasons[name] for name in odd} == {"unsafe_name"}


async def test_the_password_is_not_sent_again_while_polls_leave_the_cluster_alone(tmp_path: Path) -> None:
    async with cleaning(cluster_with("9.12.1", "9.14.1P2"), tmp_path) as it:
        it.cluster.password = "changed"
        assert (await it.run()).success is False
        assert (await it.run()).success is False
        assert len(it.cluster.requests) == 1


async def test_given_up_jobs_do_not_cost_logins_while_the_credentials_are_refused(tmp_path: Path) -> None:
    cluster = cluster_with("9.11.1", "9.12.1", "9.13.1", "9.14.1P2", lock_after_failures=5)
    async with cleaning(cluster, tmp_path) as it:
        it.cluster.hold_jobs()
        for version in ("9.11.1", "9.12.1", "9.13.1"):
            run_id = await it.journal.runs.begin(
                it.lease, cluster="c1", policy=POLICY.name, dry_run=False, plan="[]", candidates=1, now=1.0
            )
            intended = await it.journal.deletions.intend(
                it.lease,
                run_id,
                version=version,
                create_timestamp_seconds=None,
                earlier_job_uuids=frozenset(),
                max_deletes_per_day=None,
                policy_digest="",
                now=1.0,
            )
            followed = await it.journal.deletions.follow(it.lease, intended, job_uuid="a-b")
            await it.journal.deletions.end(
                it.lease,
                followed,
                outcome=Outcome.TIMEOUT,
                code="",
                message="",
                stop_after_failures=0,
                now=time.time(),
            )
            await it.journal.runs.end(it.lease, run_id, success=False, failure="deletion_failed", now=2.0)
        it.cluster.password = "changed"
        for _ in range(5):
            assert (await it.run()).success is False
        assert len(it.cluster.requests) == 1


@pytest.mark.parametrize("attribute", ["download_state", "update_state"])
async def test_a_busy_repository_that_turns_to_an_update_is_waited_for(
    attribute: str, tmp_path: Path
) -> None:
    async with cleaning(cluster_with("9.13.1", "9.14.1P2"), tmp_path) as it:
        it.cluster.refuses_during_update = False

        class Changing(Fault):
            def matches(self, method: str, path: str, page: int | None) -> bool:
                del page
                if method == "DELETE" and it.cluster.delete_attempts["9.13.1"] == 0:
                    words = {"download_state": "running", "update_state": "in_progress"}
                    setattr(it.cluster, attribute, words[attribute])
                elif path.endswith("/download") and len(it.cluster.requests_to(path)) > 5:
                    it.cluster.download_state, it.cluster.update_state = "success", "completed"
                return False

        it.cluster.faults.add(
            Changing(FaultKind.LATENCY), Fault(FaultKind.DELETE_ERROR, code=10551367, times=1)
        )
        deletion = only(await it.run())
        assert (deletion.outcome, deletion.attempts) == (Outcome.SUCCESS, 2)


async def test_facts_that_fail_while_waiting_is_waited_for(tmp_path: Path) -> None:
    async with cleaning(cluster_with("9.13.1", "9.14.1P2"), tmp_path) as it:
        it.cluster.faults.add(
            Fault(FaultKind.DELETE_ERROR, code=10551367, times=1),
            Fault(FaultKind.SERVER_ERROR, path=SOFTWARE_PATH, exact=True, skip=2, times=3),
        )
        assert only(await it.run()).outcome is Outcome.SUCCESS


async def test_a_denial_while_waiting_is_denied(tmp_path: Path) -> None:
    async with cleaning(cluster_with("9.13.1", "9.14.1P2"), tmp_path) as it:
        it.cluster.faults.add(
            Fault(FaultKind.DELETE_ERROR, code=10551367, times=1),
            Fault(FaultKind.FORBIDDEN, path=PACKAGES_PATH, method="GET", skip=2),
        )
        assert only(await it.run()).outcome is Outcome.DENIED


async def test_the_time_for_a_busy_repository_is_one_for_the_whole_run(tmp_path: Path) -> None:
    async with cleaning(cluster_with("9.11.1", "9.12.1", "9.13.1", "9.14.1P2"), tmp_path) as it:
        it.cluster.faults.add(Fault(FaultKind.DELETE_ERROR, code=10551367))
        it.clock = late_once(lambda: it.deletes("9.11.1") > 1)
        run = await it.run()
        assert [deletion.attempts > 1 for deletion in run.deletions] == [True, False, False]
        assert {deletion.outcome for deletion in run.deletions} == {Outcome.BUSY}


async def test_facts_that_answer_401_leave_the_listing_to_the_polls(tmp_path: Path) -> None:
    async with cleaning(cluster_with("9.13.1", "9.14.1P2"), tmp_path) as it:
        it.cluster.faults.add(Fault(FaultKind.UNAUTHORIZED, path=SOFTWARE_PATH, exact=True))
        assert (await it.run()).success is False
        assert (await it.run()).success is False
        assert len(it.cluster.requests_to(SOFTWARE_PATH + "?")) == 0
        assert sum(request.path == SOFTWARE_PATH for request in it.cluster.requests) == 1
        assert it.access.account.refusals.in_a_row == 0


@pytest.mark.parametrize("body", [b"", b"<html>gone</html>"])
async def test_a_404_without_words_is_already_gone_after_a_look(body: bytes, tmp_path: Path) -> None:
    async with cleaning(cluster_with("9.13.1", "9.14.1P2"), tmp_path) as it:
        reply = Fault(FaultKind.REPLY, method="DELETE", status=404, body=body, content_type="text/html")
        it.cluster.faults.add(vanish_at_delete(it.cluster, "9.13.1"), reply)
        assert only(await it.run()).outcome is Outcome.ALREADY_GONE


async def test_a_yes_without_a_job_is_followed_by_the_listing(tmp_path: Path) -> None:
    async with cleaning(cluster_with("9.13.1", "9.14.1P2"), tmp_path) as it:
        reply = Fault(FaultKind.REPLY, method="DELETE", status=202, body=b"", content_type="text/html")
        it.cluster.faults.add(vanish_at_delete(it.cluster, "9.13.1"), reply)
        deletion = only(await it.run())
        assert (deletion.outcome, deletion.job_uuid) == (Outcome.SUCCESS, None)


@pytest.mark.parametrize("status", [203, 204])
async def test_another_yes_than_200_and_202_is_no_failure(status: int, tmp_path: Path) -> None:
    async with cleaning(cluster_with("9.13.1", "9.14.1P2"), tmp_path) as it:
        reply = Fault(FaultKind.REPLY, method="DELETE", status=status, body=b"", content_type="text/html")
        it.cluster.faults.add(vanish_at_delete(it.cluster, "9.13.1"), reply)
        assert only(await it.run()).outcome is Outcome.SUCCESS
        assert it.deletes() == 1


@pytest.mark.parametrize(
    "document",
    [
        {"state": ""},
        {"state": 5},
        {"state": ["in_progress"]},
        {"pending_version": ["9.13.1"]},
        {"pending_version": 9.7},
        {"nodes": [{"name": "n1", "version": {"generation": 9, "major": 13, "minor": 1}}]},
        {"nodes": [{"name": "n1", "version": {"full": "something else"}}]},
        {"nodes": [{"name": "n1"}]},
        {"version": None},
    ],
    ids=str,
)
async def test_a_fact_that_is_there_but_unreadable_keeps_everything(
    document: dict[str, object], tmp_path: Path
) -> None:
    base = {"version": "9.14.1P2", "state": "completed", "nodes": [{"name": "n1", "version": "9.14.1P2"}]}
    cluster = cluster_with("9.13.1", "9.14.1P2", software_document={**base, **document})
    async with cleaning(cluster, tmp_path) as it:
        if "nodes" in document:
            it.cluster.faults.add(Fault(FaultKind.FORBIDDEN, path=NODES_PATH))
        run = await it.run()
        assert (run.deletions, it.deletes()) == ((), 0)
        assert {one["verdict"] for one in json.loads(run.plan)} == {"keep"}


async def test_the_job_of_an_earlier_deletion_says_nothing_about_a_later_one(tmp_path: Path) -> None:
    """A package may come back while the job that deleted it before can still be read."""
    async with cleaning(cluster_with("9.12.1", "9.14.1P2"), tmp_path) as it:
        await it.run()
        it.cluster.add_package(("9.12.1", OLD))
        it.cluster.faults.add(Fault(FaultKind.RESET, method="DELETE"))
        run = await it.run()
        assert "9.12.1" in it.cluster.versions
        assert (only(run).outcome, only(run).job_uuid) == (Outcome.FAILURE, None)


@pytest.mark.parametrize("code", [10551892, 10551367])
@pytest.mark.parametrize("is_ours", [True, False])
async def test_a_failed_job_of_before_says_nothing_about_a_lost_answer(
    *, code: int, is_ours: bool, tmp_path: Path
) -> None:
    """Our DELETE was accepted, and its job goes on; another DELETE would run beside it."""
    async with cleaning(cluster_with("9.12.1", "9.14.1P2"), tmp_path) as it:
        failing = JobScript(outcome=JobOutcome.FAILURE, code=code, seconds=0.0)
        if is_ours:
            it.cluster.job_script = failing
            await it.run(SHORT)
        else:
            it.cluster.start_deletion("9.12.1", failing)
        it.cluster.job_script = JobScript(seconds=0.0)
        it.cluster.hold_jobs()
        it.cluster.faults.add(at_job_read(it.cluster.release_jobs))
        sent = it.deletes()
        it.cluster.faults.add(Fault(FaultKind.LOST_ANSWER, method="DELETE", times=1))
        deletion = only(await it.run())
        (done,) = it.cluster.deletions
        assert (deletion.outcome, deletion.job_uuid) == (Outcome.SUCCESS, done.job_uuid)
        assert (it.deletes() - sent, it.cluster.jobs.peak) == (1, 1)


async def test_the_job_of_the_first_attempt_does_not_stand_for_the_second(tmp_path: Path) -> None:
    async with cleaning(cluster_with("9.12.1", "9.14.1P2"), tmp_path) as it:
        it.cluster.job_script = JobScript(outcome=JobOutcome.NEVER)
        hidden = Fault(FaultKind.FORBIDDEN, path=JOBS_PATH, exact=True)
        it.cluster.faults.add(
            hidden,
            Fault(FaultKind.JOB_FAILURE, code=10551367, times=1),
            Fault(FaultKind.LOST_ANSWER, method="DELETE", times=1),
        )
        deletion = only(await it.run(changed(SHORT, retry_busy_for=POLICY.retry_busy_for)))
        (live,) = it.cluster.jobs.live()
        assert (deletion.outcome, deletion.attempts) == (Outcome.TIMEOUT, 2)
        assert deletion.job_uuid in {None, live.uuid}
        it.cluster.faults.remove(hidden)
        await it.run(SHORT)
        assert it.deletes() == 2


@pytest.mark.parametrize("lost", [FaultKind.LOST_ANSWER, FaultKind.TRUNCATED_JSON])
@pytest.mark.parametrize("unread", [FaultKind.SERVER_ERROR, FaultKind.HTML])
async def test_jobs_that_cannot_be_read_are_not_taken_for_none(
    lost: FaultKind, unread: FaultKind, tmp_path: Path
) -> None:
    """The answer is lost, and the job runs: the cluster gets no other DELETE meanwhile."""
    async with cleaning(cluster_with("9.11.1", "9.12.1", "9.14.1P2"), tmp_path) as it:
        it.cluster.job_script = JobScript(seconds=0.5)
        # Before DELETE is sent, the jobs are asked for once.
        it.cluster.faults.add(Fault(unread, path=JOBS_PATH, skip=1, times=8))
        it.cluster.faults.add(Fault(lost, method="DELETE", times=1))
        outcomes: list[Outcome | None] = []
        while len(outcomes) < 2:
            # Where the jobs cannot be read before a DELETE either, the run ends, and the next one goes on.
            outcomes += [deletion.outcome for deletion in (await it.run()).deletions]
        assert (it.cluster.jobs.peak, it.deletes()) == (1, 2)
        assert outcomes == [Outcome.SUCCESS] * 2


async def test_where_jobs_are_hidden_a_lost_answer_is_not_followed_by_another_delete(tmp_path: Path) -> None:
    async with cleaning(cluster_with("9.13.1", "9.14.1P2"), tmp_path) as it:
        it.cluster.hold_jobs()
        it.cluster.faults.add(
            Fault(FaultKind.FORBIDDEN, path=JOBS_PATH), Fault(FaultKind.LOST_ANSWER, method="DELETE", times=1)
        )
        assert only(await it.run(SHORT)).outcome is Outcome.TIMEOUT
        assert any(it.cluster.jobs.live())
        run = await it.run(SHORT)
        assert (run.deletions, it.deletes()) == ((), 1)
