"""Cleanup's metrics are those of the contract, as prometheus_client writes them, and survive a restart."""

from __future__ import annotations

import asyncio
import math
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter.cleanup.cleanup_board import NO_TOTALS, CleanupBoard, LeaseStatus, PolicyStatus
from exporter.cleanup.decide.plan import Decision, Verdict, VerdictReason
from exporter.cleanup.outcomes import Outcome, RunFailure
from exporter.cleanup.records import DURATION_BUCKETS_SECONDS, Durations, PolicyTotals, Totals
from exporter.metrics.cleanup_metrics import (
    CLEANUP_FAMILIES,
    CLEANUP_STATE_FAMILIES,
    LEASE_FAMILIES,
    CleanupState,
    update_lease,
    update_policy,
)
from exporter.metrics.exposition import Exposition, render_once
from exporter.metrics.family import Kind, Row
from exporter.metrics.text import Format
from exporter.simulator import JobOutcome, JobScript, SimulatedCluster, Simulator
from exporter.simulator.exporter_configuration import exporter_config, write_secret
from support.daemon_process import Daemon, program
from support.exposed import text_of
from support.prometheus import needs_prometheus
from support.waiting import eventually

CONTRACT = {
    "ontap_cleanup_candidates": ("gauge", {"cluster", "policy"}),
    "ontap_cleanup_dry_run": ("gauge", {"cluster", "policy"}),
    "ontap_cleanup_jobs_total": ("counter", {"cluster", "policy", "outcome"}),
    "ontap_cleanup_job_errors_total": ("counter", {"cluster", "policy", "code"}),
    "ontap_cleanup_jobs_in_progress": ("gauge", {"cluster", "policy"}),
    "ontap_cleanup_job_duration_seconds": ("histogram", {"policy"}),
    "ontap_cleanup_last_run_timestamp_seconds": ("gauge", {"cluster", "policy"}),
    "ontap_cleanup_last_run_success": ("gauge", {"cluster", "policy"}),
    "ontap_cleanup_last_run_failure": ("gauge", {"cluster", "policy", "reason"}),
    "ontap_cleanup_plan_packages": ("gauge", {"cluster", "policy", "reason", "verdict"}),
    "ontap_cleanup_last_success_timestamp_seconds": ("gauge", {"cluster", "policy"}),
    "ontap_cleanup_next_run_timestamp_seconds": ("gauge", {"cluster", "policy"}),
    "ontap_cleanup_policy_paused": ("gauge", {"policy"}),
    "ontap_cleanup_lease_held": ("gauge", {"cluster"}),
    "ontap_cleanup_takeovers_total": ("counter", set()),
}
"""Type and labels of every metric that operators may rely on."""
TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
OWN_LABELS = {"cluster", "policy", *(label for family in CLEANUP_FAMILIES for label in family.labels)}
LABEL_NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,5}", fullmatch=True).filter(
    lambda name: not name.startswith("__") and name not in OWN_LABELS
)
TIMES = st.none() | st.floats(1e9, 2e9)
VERDICTS_AND_REASONS = st.tuples(st.sampled_from(Verdict).map(str), st.sampled_from(VerdictReason).map(str))
TOTALS = st.builds(
    PolicyTotals,
    outcomes=st.fixed_dictionaries(dict.fromkeys(Outcome, st.integers(0, 10**6))),
    codes=st.dictionaries(TEXTS.filter(bool), st.integers(1, 10**6), max_size=3),
    candidates=st.none() | st.integers(0, 100),
    last_started_timestamp_seconds=TIMES,
    last_ended_timestamp_seconds=TIMES,
    last_success=st.none() | st.booleans(),
    last_success_timestamp_seconds=TIMES,
    last_failure=TEXTS,
    planned=st.none() | st.dictionaries(VERDICTS_AND_REASONS, st.integers(0, 9)),
)
STATUSES = st.lists(
    st.builds(
        PolicyStatus,
        cluster=TEXTS,
        labels=st.dictionaries(LABEL_NAMES, TEXTS, max_size=3).map(
            lambda found: tuple(sorted(found.items()))
        ),
        policy=TEXTS,
        dry_run=st.booleans(),
        recorded=TOTALS | st.just(NO_TOTALS),
        in_progress=st.integers(0, 3),
        next_run_timestamp_seconds=TIMES,
        skipped_runs=st.integers(0, 9),
        is_counted=st.booleans(),
    ),
    max_size=3,
    unique_by=lambda status: status.key,
)
STATUS = PolicyStatus(
    cluster="c1", labels=(("site", "ams"), ("zone", "z")), policy="retire-old", dry_run=False, is_counted=True
)
C1 = (("cluster", "c1"), ("policy", "retire-old"), ("site", "ams"), ("zone", "z"))
DURATIONS = Durations(buckets=(1, 1, 2, 2, 2, 2, 2, 2, 2, 3, 4), sum_seconds=5000.5)


class Reference:
    """The same samples, for prometheus_client to write."""

    def __init__(self, statuses: Iterable[PolicyStatus]) -> None:
        self._statuses = tuple(statuses)

    def collect(self) -> Iterator[Metric]:
        for family in CLEANUP_FAMILIES:
            make = GaugeMetricFamily if family.kind is Kind.GAUGE else CounterMetricFamily
            metric = make(family.name, family.help)
            if metric.name.endswith("_seconds"):
                metric.unit = "seconds"
            for status in self._statuses:
                for own, value in family.samples(status):
                    labels = {"cluster": status.cluster, "policy": status.policy, **dict(status.labels)}
                    labels |= dict(zip(family.labels, own, strict=True))
                    metric.add_sample(family.name, labels, value)
            yield metric


def exposed(statuses: Iterable[PolicyStatus], form: Format) -> str:
    exposition = Exposition(CLEANUP_FAMILIES)
    for status in statuses:
        update_policy(exposition, status)
    return text_of(exposition.all(), form=form)


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parse_text(text)
        for sample in family.samples
    }


def of_all_clusters(form: Format = Format.TEXT) -> str:
    state = CleanupState(
        durations={"retire-old": DURATIONS},
        halted=True,
        journal_open=False,
        paused={"retire-old": True, "keep-two": False},
        takeovers=3,
    )
    return text_of(render_once(CLEANUP_STATE_FAMILIES, state), form=form)


@given(STATUSES)
def test_the_text_format_equals_the_reference(statuses: list[PolicyStatus]) -> None:
    registry = CollectorRegistry()
    registry.register(Reference(statuses))
    assert exposed(statuses, Format.TEXT) == generate_latest(registry).decode()


@given(STATUSES)
def test_openmetrics_equals_the_reference(statuses: list[PolicyStatus]) -> None:
    registry = CollectorRegistry()
    registry.register(Reference(statuses))
    ours = exposed(statuses, Format.OPENMETRICS) + "# EOF\n"
    assert ours == generate_openmetrics(registry).decode()  # type: ignore[no-untyped-call]


def test_every_metric_of_the_contract_has_its_type_and_labels() -> None:
    """The cluster's configured labels are added."""
    totals = PolicyTotals(
        outcomes=dict.fromkeys(Outcome, 1),
        codes={"10551367": 2},
        candidates=3,
        last_started_timestamp_seconds=1e9,
        last_ended_timestamp_seconds=1e9 + 1,
        last_success=True,
        last_success_timestamp_seconds=1e9 + 1,
        planned={},
    )
    status = PolicyStatus(
        cluster="c1",
        labels=(),
        policy="p",
        dry_run=True,
        recorded=totals,
        next_run_timestamp_seconds=2e9,
        is_counted=True,
    )
    failed = replace(status, cluster="c2", failure=RunFailure.DENIED, failed_timestamp_seconds=2e9)
    found: dict[str, tuple[str, set[str]]] = {}
    leases = Exposition(LEASE_FAMILIES)
    update_lease(leases, LeaseStatus(cluster="c1", labels=(), held=True))
    text = exposed([status, failed], Format.TEXT) + text_of(leases.all()) + of_all_clusters()
    for family in parse_text(text):
        labels = {name for sample in family.samples for name in sample.labels} - {"le"}
        name = f"{family.name}_total" if family.type == "counter" else family.name
        found[name] = (family.type, labels)
    assert {name: found.get(name) for name in CONTRACT} == CONTRACT


async def test_leases_carry_the_labels_of_their_clusters_and_go_with_them() -> None:
    exposition = Exposition(LEASE_FAMILIES)
    board = CleanupBoard(
        on_change=lambda _: None,
        on_lease=lambda lease: update_lease(exposition, lease),
        on_lease_removal=exposition.remove,
    )
    c1 = LeaseStatus(cluster="c1", labels=(("site", "ams"),), held=True)
    c2 = LeaseStatus(cluster="c2", labels=(), held=False)
    await board.put_leases([c1, c2])
    held = "ontap_cleanup_lease_held"
    labels = (("cluster", "c1"), ("site", "ams"))
    assert samples(text_of(exposition.all())) == {(held, labels): 1, (held, (("cluster", "c2"),)): 0}
    await board.put_leases([replace(c1, held=False)])
    assert samples(text_of(exposition.all())) == {(held, labels): 0}


def test_paused_policies_and_takeovers_are_exposed() -> None:
    found = samples(of_all_clusters())
    assert found["ontap_cleanup_policy_paused", (("policy", "retire-old"),)] == 1
    assert found["ontap_cleanup_policy_paused", (("policy", "keep-two"),)] == 0
    assert found["ontap_cleanup_takeovers_total", ()] == 3


def test_the_reason_of_a_failed_run_goes_with_the_next_good_one() -> None:
    exposition = Exposition(CLEANUP_FAMILIES)

    def reasons(status: PolicyStatus) -> list[str]:
        update_policy(exposition, status)
        found = samples(text_of(exposition.all()))
        return [dict(labels)["reason"] for name, labels in found if name == "ontap_cleanup_last_run_failure"]

    denied = replace(STATUS, failure=RunFailure.DENIED, failed_timestamp_seconds=1e9)
    assert reasons(STATUS) == []
    assert reasons(denied) == ["denied"]
    assert reasons(replace(denied, failure=RunFailure.STOPPED)) == ["stopped"]
    good = replace(NO_TOTALS, last_success=True, last_ended_timestamp_seconds=2e9)
    assert reasons(replace(denied, recorded=good)) == []


def decision(version: str, verdict: Verdict, reason: VerdictReason) -> Decision:
    return Decision(
        version=version,
        create_timestamp_seconds=None,
        age_seconds=None,
        verdict=verdict,
        reason=reason,
        detail="",
    )


def test_a_plan_is_shown_by_reason_with_an_explicit_0_where_it_deletes_nothing() -> None:
    def shown(planned: dict[tuple[str, str], int] | None) -> dict[tuple[str, str], float]:
        status = replace(STATUS, recorded=replace(NO_TOTALS, planned=planned))
        return {
            (dict(labels)["verdict"], dict(labels)["reason"]): value
            for (name, labels), value in samples(exposed([status], Format.TEXT)).items()
            if name == "ontap_cleanup_plan_packages"
        }

    assert shown(None) == {}
    assert shown({}) == {("delete", "retired"): 0}
    counts = {("delete", "retired"): 1, ("keep", "not_approved"): 2}
    assert shown(counts) == counts


def test_before_the_first_run_every_outcome_is_0_and_nothing_else_is_claimed() -> None:
    found = samples(exposed([STATUS], Format.TEXT))
    outcomes = {
        dict(labels)["outcome"]: value for (name, labels), value in found.items() if "jobs_total" in name
    }
    assert outcomes == dict.fromkeys(
        ("success", "failure", "already_gone", "busy", "timeout", "denied", "protected"), 0
    )
    assert {name: value for (name, _), value in found.items() if "jobs_total" not in name} == {
        "ontap_cleanup_dry_run": 0,
        "ontap_cleanup_jobs_in_progress": 0,
        "ontap_cleanup_skipped_runs_total": 0,
    }


def test_before_the_journal_is_read_no_count_begins_at_0() -> None:
    """A counter that fell to 0 at every start and came back would look like new deletions."""
    found = samples(exposed([replace(STATUS, is_counted=False)], Format.TEXT))
    assert not [name for name, _ in found if name == "ontap_cleanup_jobs_total"]


async def test_outcomes_and_error_codes_are_shown_as_the_journal_counts_them() -> None:
    exposition = Exposition(CLEANUP_FAMILIES)
    board = CleanupBoard(on_change=lambda status: update_policy(exposition, status))
    board.put(STATUS)
    outcomes = {**STATUS.totals.outcomes, Outcome.SUCCESS: 1, Outcome.BUSY: 2, Outcome.FAILURE: 1}
    counted = replace(STATUS.totals, outcomes=outcomes, codes={"10551367": 2, "4": 1})
    await board.put_totals(Totals(policies={STATUS.key: counted}, durations=None, read_until=0.0))
    with board.in_progress(STATUS.key):
        during = samples(text_of(exposition.all()))
    after = samples(text_of(exposition.all()))
    site = C1[2:]
    jobs, errors = "ontap_cleanup_jobs_total", "ontap_cleanup_job_errors_total"
    assert after[jobs, (*C1[:1], ("outcome", "busy"), C1[1], *site)] == 2
    assert after[jobs, (*C1[:1], ("outcome", "success"), C1[1], *site)] == 1
    assert after[errors, (*C1[:1], ("code", "10551367"), C1[1], *site)] == 2
    assert after[errors, (*C1[:1], ("code", "4"), C1[1], *site)] == 1
    assert (during["ontap_cleanup_jobs_in_progress", C1], after["ontap_cleanup_jobs_in_progress", C1]) == (
        1,
        0,
    )


def test_the_histogram_has_every_bucket_its_sum_and_its_count() -> None:
    found = samples(of_all_clusters())
    name = "ontap_cleanup_job_duration_seconds"
    buckets = {
        float(dict(labels)["le"]): value for (of, labels), value in found.items() if of == f"{name}_bucket"
    }
    assert buckets == dict(zip((*DURATION_BUCKETS_SECONDS, math.inf), DURATIONS.buckets, strict=True))
    policy = (("policy", "retire-old"),)
    assert found[f"{name}_sum", policy] == DURATIONS.sum_seconds
    assert found[f"{name}_count", policy] == DURATIONS.buckets[-1]


def test_the_kill_switch_and_the_journal_are_exposed() -> None:
    found = samples(of_all_clusters())
    assert (found["ontap_cleanup_halted", ()], found["ontap_cleanup_journal_open", ()]) == (1, 0)


def test_both_formats_parse() -> None:
    text = exposed([STATUS], Format.TEXT) + of_all_clusters()
    openmetrics = exposed([STATUS], Format.OPENMETRICS) + of_all_clusters(Format.OPENMETRICS) + "# EOF\n"
    in_text = {family.name for family in parse_text(text)}
    parsed = parse_openmetrics(openmetrics)  # type: ignore[no-untyped-call]
    assert {family.name for family in parsed} == in_text


@pytest.mark.parametrize(
    "family", [*CLEANUP_FAMILIES, *CLEANUP_STATE_FAMILIES, *LEASE_FAMILIES], ids=lambda family: family.name
)
def test_every_row_keeps_to_the_naming_rules(family: Row[Any]) -> None:
    assert family.name.startswith("ontap_cleanup_")
    assert family.name.endswith("_total") == (family.kind is Kind.COUNTER)
    assert list(family.labels) == sorted(family.labels)
    assert family.help.endswith(".")
    assert not set(family.help) & set('\\"\n')


CLEANUP = """
cleanup:
  state: sqlite:///state.db
  policies:
    - name: retire-old
      every: 24h
      older_than: 90d
      exclude: ["9.11*"]
      dry_run: false
      seen_for: 0s
      retry_busy_for: 0s
    - {name: keep-two, clusters: {names: [c1]}, schedule: "0 3 * * sat", keep_newest: 2}
"""


DELETIONS_OF_A_RUN = 2
"""Of retire-old on a dirty cluster: one succeeds, one fails."""


def dirty_cluster(name: str) -> SimulatedCluster:
    versions = ("9.10.1", "9.11.1", "9.12.1", "9.14.1P2")
    cluster = SimulatedCluster(name, packages=versions, labels={"site": "ams"}, job_seconds=0.05)
    cluster.job_scripts["9.12.1"] = JobScript(outcome=JobOutcome.FAILURE, code=10551892)
    return cluster


@asynccontextmanager
async def cleaned(simulator: Simulator, directory: Path) -> AsyncIterator[Daemon]:
    """Run the daemon until it has made a run on every cluster."""
    config = directory / "config.yaml"
    write_secret(config, exporter_config(simulator, extra=CLEANUP))
    async with program("run", f"--config.file={config}", "--web.listen-address=127.0.0.1:0") as daemon:
        await daemon.until_ready()

        async def ran() -> bool:
            found = samples((await daemon.get("/metrics"))[1])
            ends = [name for name, _ in found if name == "ontap_cleanup_last_run_timestamp_seconds"]
            timed = found.get(("ontap_cleanup_job_duration_seconds_count", (("policy", "retire-old"),)), 0)
            names = Counter(name for name, _ in found)
            is_planned = names["ontap_cleanup_next_run_timestamp_seconds"] == names["ontap_cleanup_dry_run"]
            is_timed = timed == DELETIONS_OF_A_RUN * len(simulator.clusters)
            return len(ends) == len(simulator.clusters) and is_timed and is_planned

        await eventually(ran, seconds=60, what="a run on every cluster")
        yield daemon


def of_cleanup(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    found = samples(text)
    return {key: value for key, value in found.items() if key[0].startswith("ontap_cleanup_")}


@needs_prometheus
async def test_promtool_finds_nothing_to_complain_of(tmp_path: Path) -> None:
    async with Simulator([dirty_cluster("c1")], directory=tmp_path) as simulator:
        async with cleaned(simulator, tmp_path) as daemon:
            _, text = await daemon.get("/metrics")
            _, openmetrics = await daemon.get(
                "/metrics", Accept="application/openmetrics-text; version=1.0.0"
            )
        assert "ontap_cleanup_job_duration_seconds_bucket" in text
        done = await asyncio.to_thread(
            subprocess.run,
            ["promtool", "check", "metrics"],
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )
        ours = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("ontap_cleanup")]
        assert (ours, done.returncode in {0, 3}) == ([], True)
        names = {family.name for family in parse_openmetrics(openmetrics)}  # type: ignore[no-untyped-call]
        assert {name.removesuffix("_total") for name in CONTRACT} <= names


async def test_a_probe_shows_the_clusters_own_cleanup_and_no_other(tmp_path: Path) -> None:
    clusters = [dirty_cluster("c1"), dirty_cluster("c2")]
    async with (
        Simulator(clusters, directory=tmp_path) as simulator,
        cleaned(simulator, tmp_path) as daemon,
    ):
        for name, policies in (("c1", {"retire-old", "keep-two"}), ("c2", {"retire-old"})):
            status, text = await daemon.get(f"/probe?target={name}")
            assert status == 200
            found = of_cleanup(text)
            assert {dict(labels)["cluster"] for _, labels in found} == {name}
            named = {dict(labels).get("policy") for _, labels in found}
            assert named == {*policies, None}, "only the lease belongs to no policy"
            assert [key[0] for key in found if "policy" not in dict(key[1])] == ["ontap_cleanup_lease_held"]
            assert {dict(labels)["site"] for _, labels in found} == {"ams"}
            everything = of_cleanup((await daemon.get("/metrics"))[1])
            assert found.items() <= everything.items()


async def test_counters_survive_a_restart_on_the_same_journal(tmp_path: Path) -> None:
    passing = {
        "ontap_cleanup_jobs_in_progress",
        "ontap_cleanup_skipped_runs_total",
        "ontap_cleanup_journal_open",
    }
    async with Simulator([dirty_cluster("c1")], directory=tmp_path) as simulator:
        async with cleaned(simulator, tmp_path) as daemon:
            before = of_cleanup((await daemon.get("/metrics"))[1])
            assert await daemon.stop() == 0
        deletes = len(simulator["c1"].requests_to(method="DELETE"))
        async with cleaned(simulator, tmp_path) as daemon:
            after = of_cleanup((await daemon.get("/metrics"))[1])
        assert len(simulator["c1"].requests_to(method="DELETE")) == deletes
    labels = {"cluster": "c1", "policy": "retire-old", "site": "ams"}

    def value(name: str, **own: str) -> float:
        return before[name, tuple(sorted({**labels, **own}.items()))]

    assert value("ontap_cleanup_jobs_total", outcome="success") == 1
    assert value("ontap_cleanup_jobs_total", outcome="failure") == 1
    assert value("ontap_cleanup_job_errors_total", code="10551892") == 1
    assert value("ontap_cleanup_last_run_success") == 0
    assert value("ontap_cleanup_candidates") == 2
    assert before["ontap_cleanup_job_duration_seconds_count", (("policy", "retire-old"),)] == 2
    lasting = {key: value for key, value in before.items() if key[0] not in passing}
    assert {key: after.get(key) for key in lasting} == pytest.approx(lasting, rel=0, abs=0.1)
    last_run = value("ontap_cleanup_last_run_timestamp_seconds")
    next_run = value("ontap_cleanup_next_run_timestamp_seconds")
    assert next_run == pytest.approx(last_run + 86_400, rel=0, abs=20)
    assert ("ontap_cleanup_last_success_timestamp_seconds", C1) not in before
