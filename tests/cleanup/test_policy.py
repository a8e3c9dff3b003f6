"""A plan chooses what the policy retires and nothing else; whatever guards a package wins."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.cleanup.decide.plan import Approved, GuardFacts, Plan, Rules, Verdict, VerdictReason
from exporter.cleanup.decide.policy import (
    MAX_CLOCK_SKEW_SECONDS,
    make_plan,
)
from exporter.ontap.requests.deletion import is_safe_version
from exporter.ontap.requests.facts import FINISHED_UPDATE_STATES, IDLE_DOWNLOAD_STATES
from exporter.ontap.requests.inventory import Inventory
from exporter.ontap.requests.listing import Listing, Package
from exporter.ontap.requests.versions import parse_release

NOW = 1_800_000_000.0
DAY = 86_400.0
IDLE = GuardFacts(named={"9.16.1": "the cluster"}, update_state=None, download_state="success")
ALL = Rules(keep_newest=None, older_than_seconds=0.0, include=("*",), exclude=(), max_deletes=100)


def package(version: str, age_days: float | None = 400) -> Package:
    created = None if age_days is None else NOW - age_days * DAY
    return Package(version=version, create_timestamp_seconds=created)


def listing(*packages: Package) -> Listing:
    return Listing(packages=packages, unnamed=0, pages=1)


def chosen(plan: Plan) -> list[str]:
    return [decision.version for decision in plan.chosen]


def reason(plan: Plan, version: str) -> VerdictReason:
    decision = plan.decision(version)
    assert decision is not None
    assert (decision.verdict is Verdict.DELETE) == (decision.reason is VerdictReason.RETIRED)
    return decision.reason


REPOSITORY = listing(
    package("9.13.1", 900), package("9.14.1", 700), package("9.15.1", 500), package("9.16.1", 100)
)


def test_older_than_retires_the_old_ones_oldest_first() -> None:
    plan = make_plan(replace(ALL, older_than_seconds=365 * DAY), REPOSITORY, IDLE, now=NOW)
    assert chosen(plan) == ["9.13.1", "9.14.1", "9.15.1"]
    assert plan.decisions[0].detail == "older than 365 d"
    assert plan.decisions[0].age_seconds == 900 * DAY


def test_keep_newest_retires_all_but_the_newest_releases() -> None:
    rules = replace(ALL, older_than_seconds=None, keep_newest=2)
    plan = make_plan(rules, REPOSITORY, IDLE, now=NOW)
    assert chosen(plan) == ["9.13.1", "9.14.1"]
    assert reason(plan, "9.15.1") is VerdictReason.AMONG_NEWEST


def test_both_conditions_must_be_met() -> None:
    rules = replace(ALL, older_than_seconds=600 * DAY, keep_newest=1)
    assert chosen(make_plan(rules, REPOSITORY, IDLE, now=NOW)) == ["9.13.1", "9.14.1"]
    rules = replace(ALL, older_than_seconds=1 * DAY, keep_newest=3)
    assert chosen(make_plan(rules, REPOSITORY, IDLE, now=NOW)) == ["9.13.1"]


def test_two_spellings_of_one_release_count_once() -> None:
    rules = replace(ALL, older_than_seconds=None, keep_newest=2)
    plan = make_plan(rules, listing(*map(package, ("9.7", "9.7.0", "9.8", "9.6"))), IDLE, now=NOW)
    assert set(chosen(plan)) == {"9.6"}


def test_newest_is_judged_over_the_whole_repository_whatever_the_patterns() -> None:
    rules = replace(ALL, older_than_seconds=None, keep_newest=2, include=("9.13*", "9.14*"))
    assert chosen(make_plan(rules, REPOSITORY, IDLE, now=NOW)) == ["9.13.1", "9.14.1"]


def test_a_policy_without_a_condition_deletes_nothing() -> None:
    plan = make_plan(replace(ALL, older_than_seconds=None), REPOSITORY, IDLE, now=NOW)
    assert chosen(plan) == []
    assert reason(plan, "9.13.1") is VerdictReason.NO_CONDITION


def test_patterns_select() -> None:
    rules = replace(ALL, include=("9.1[34]*",), exclude=("9.14.1*",))
    plan = make_plan(rules, REPOSITORY, IDLE, now=NOW)
    assert chosen(plan) == ["9.13.1"]
    assert reason(plan, "9.14.1") is VerdictReason.EXCLUDED
    assert reason(plan, "9.15.1") is VerdictReason.NOT_INCLUDED


@pytest.mark.parametrize(
    ("glob", "version"),
    [
        *(("9.14.1p2", "9.14.1P2"), ("9.14.1P*", "9.14.1p2"), ("9.7", "9.7.0"), ("9.7.0", "9.7")),
        *(("9.7.0P*", "9.7P2"), ("9.5.1*", "Dayblazer__9.5.1"), ("Dayblazer__9.5.1", "9.5.1")),
        *(("dayblazer*", "Dayblazer__9.5.1"), ("9.8p01", "9.8P1"), ("r9.18.1xn_*", "R9.18.1xN_251015_0400")),
    ],
)
def test_an_exclude_pattern_protects_every_spelling_of_a_version(glob: str, version: str) -> None:
    plan = make_plan(replace(ALL, exclude=(glob,)), listing(package(version)), IDLE, now=NOW)
    assert reason(plan, version) is VerdictReason.EXCLUDED
    other = "9.9.1"
    plan = make_plan(replace(ALL, exclude=(glob,)), listing(package(other)), IDLE, now=NOW)
    assert chosen(plan) == [other]


@pytest.mark.parametrize(
    ("glob", "version"), [("9.7", "9.7.1"), ("9.7.0", "9.70"), ("9.1", "9.10"), ("9.7.1", "9.7.10")]
)
def test_an_exclude_pattern_protects_no_other_version(glob: str, version: str) -> None:
    plan = make_plan(replace(ALL, exclude=(glob,)), listing(package(version)), IDLE, now=NOW)
    assert chosen(plan) == [version]


def test_the_limit_takes_the_oldest() -> None:
    plan = make_plan(replace(ALL, max_deletes=2), REPOSITORY, IDLE, now=NOW)
    assert chosen(plan) == ["9.13.1", "9.14.1"]
    assert reason(plan, "9.15.1") is VerdictReason.OVER_LIMIT


def test_an_age_of_exactly_older_than_is_not_older() -> None:
    rules = replace(ALL, older_than_seconds=100 * DAY)
    plan = make_plan(rules, listing(package("9.14.1", 100)), IDLE, now=NOW)
    assert reason(plan, "9.14.1") is VerdictReason.TOO_YOUNG


def test_a_creation_in_the_future_is_young() -> None:
    plan = make_plan(ALL, listing(package("9.14.1", -5)), IDLE, now=NOW)
    assert reason(plan, "9.14.1") is VerdictReason.TOO_YOUNG
    assert plan.decisions[0].age_seconds == 0


def test_an_unknown_age_keeps_under_older_than_and_comes_last_under_keep_newest() -> None:
    repository = listing(package("9.13.1", None), package("9.14.1", 10), package("9.15.1", 5))
    assert reason(make_plan(ALL, repository, IDLE, now=NOW), "9.13.1") is VerdictReason.AGE_UNKNOWN
    rules = replace(ALL, older_than_seconds=None, keep_newest=1)
    assert chosen(make_plan(rules, repository, IDLE, now=NOW)) == ["9.14.1", "9.13.1"]


def test_an_unknown_release_keeps_under_keep_newest_and_takes_no_place() -> None:
    repository = listing(package("9.13.1"), package("9.14.1"), package("nightly"))
    rules = replace(ALL, older_than_seconds=None, keep_newest=1)
    plan = make_plan(rules, repository, IDLE, now=NOW)
    assert reason(plan, "nightly") is VerdictReason.RELEASE_UNKNOWN
    assert chosen(plan) == ["9.13.1"]
    assert "nightly" in chosen(make_plan(ALL, repository, IDLE, now=NOW))


SPELLED = (
    "9.7",
    "9.7.0",
    "9.8P1",
    "9.8p1",
    "9.9.1P9X3",
    "9.13.1",
    "Dayblazer__9.13.1",
    "R9.18.1xN_251015_0400",
    "nightly",
)


@given(
    st.lists(st.sampled_from(SPELLED), unique=True),
    st.frozensets(st.sampled_from((*SPELLED, "9.07", "Dayblazer__9.7", "DAYBLAZER__9.8P1")), max_size=3),
)
def test_the_plan_and_the_metric_agree_on_what_is_in_use(listed: list[str], named: frozenset[str]) -> None:
    repository = listing(*map(package, listed))
    facts = replace(IDLE, named=dict.fromkeys(named, "a node"))
    plan = make_plan(ALL, repository, facts, now=NOW)
    inventory = Inventory(listing=repository, identity=None, versions_in_use=named)
    expected = {True: VerdictReason.IN_USE, None: VerdictReason.FACTS_UNKNOWN, False: VerdictReason.RETIRED}
    for one in repository.packages:
        assert reason(plan, one.version) is expected[inventory.in_use(one)]


@pytest.mark.parametrize("named", ["9.13.1", "9.13.1.0", " 9.13.1 ", "Dayblazer__9.13.1"])
@pytest.mark.parametrize("by", ["the cluster", "node n1", "the pending update"])
def test_a_version_in_use_is_kept(named: str, by: str) -> None:
    plan = make_plan(ALL, REPOSITORY, replace(IDLE, named={named: by}), now=NOW)
    assert reason(plan, "9.13.1") is VerdictReason.IN_USE
    assert plan.decision("9.13.1").detail == f"named by {by}"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "state",
    [
        "in_progress",
        "waiting",
        "paused_by_user",
        "paused_on_error",
        "pause_pending",
        "cancel_pending",
        "in_error",
        "a_new_word",
        "",
    ],
)
def test_an_unfinished_update_keeps_everything(state: str) -> None:
    plan = make_plan(ALL, REPOSITORY, replace(IDLE, update_state=state), now=NOW)
    assert chosen(plan) == []
    assert {decision.reason for decision in plan.decisions} == {VerdictReason.UPDATE_UNFINISHED}


@pytest.mark.parametrize("state", ["completed", "canceled", "failed", None])
def test_a_finished_update_guards_nothing(state: str | None) -> None:
    assert chosen(make_plan(ALL, REPOSITORY, replace(IDLE, update_state=state), now=NOW))


@pytest.mark.parametrize("state", ["running", None, "", "a_new_word"])
def test_a_download_that_may_be_running_keeps_everything(state: str | None) -> None:
    plan = make_plan(ALL, REPOSITORY, replace(IDLE, download_state=state), now=NOW)
    assert {decision.reason for decision in plan.decisions} == {VerdictReason.DOWNLOAD_RUNNING}


def test_a_version_whose_earlier_deletion_may_still_run_is_kept() -> None:
    plan = make_plan(ALL, REPOSITORY, replace(IDLE, being_deleted=frozenset({"9.13.1"})), now=NOW)
    assert reason(plan, "9.13.1") is VerdictReason.BEING_DELETED


@pytest.mark.parametrize(
    "version", [".", "..", "...", "a/b", "9.13.1?x", "9.13.1#", "9 13", "", "9.13.1%2e", "ä"]
)
def test_a_name_that_is_not_safe_in_a_url_is_kept(version: str) -> None:
    plan = make_plan(ALL, listing(package(version)), IDLE, now=NOW)
    assert reason(plan, version) is VerdictReason.UNSAFE_NAME


def test_facts_that_could_not_be_read_keep_everything_with_the_reason() -> None:
    plan = make_plan(ALL, REPOSITORY, None, now=NOW, problem="HTTP 403")
    assert {decision.reason for decision in plan.decisions} == {VerdictReason.FACTS_UNKNOWN}
    assert plan.problem == "HTTP 403"


@pytest.mark.parametrize("skew", [3601.0, -3601.0, 3 * 365 * DAY])
def test_a_cluster_whose_clock_differs_by_more_than_an_hour_keeps_what_is_judged_by_age(skew: float) -> None:
    facts = replace(IDLE, clock_skew_seconds=skew)
    plan = make_plan(ALL, REPOSITORY, facts, now=NOW)
    assert chosen(plan) == []
    assert reason(plan, "9.13.1") is VerdictReason.CLOCK_SKEWED
    rules = replace(ALL, older_than_seconds=None, keep_newest=2)
    assert chosen(make_plan(rules, REPOSITORY, facts, now=NOW)) == ["9.13.1", "9.14.1"]


@pytest.mark.parametrize("skew", [3600.0, -3600.0, 0.0, None])
def test_a_clock_that_is_right_to_the_hour_or_not_shown_guards_nothing(skew: float | None) -> None:
    plan = make_plan(ALL, REPOSITORY, replace(IDLE, clock_skew_seconds=skew), now=NOW)
    assert chosen(plan) == ["9.13.1", "9.14.1", "9.15.1"]


def test_only_what_has_been_seen_for_long_enough_is_deleted() -> None:
    rules = replace(ALL, seen_for_seconds=7 * DAY)
    first_seen = {"9.13.1": NOW - 7 * DAY, "9.14.1": NOW - 7 * DAY + 1, "9.16.1": NOW - 100 * DAY}
    plan = make_plan(rules, REPOSITORY, replace(IDLE, first_seen=first_seen), now=NOW)
    assert chosen(plan) == ["9.13.1"]
    assert reason(plan, "9.14.1") is VerdictReason.SEEN_TOO_SHORTLY
    assert reason(plan, "9.15.1") is VerdictReason.SEEN_TOO_SHORTLY
    assert plan.decision("9.14.1").detail == "not seen for 7 d yet"  # type: ignore[union-attr]


def test_what_was_first_seen_in_the_future_has_not_been_seen() -> None:
    facts = replace(IDLE, first_seen={"9.13.1": NOW + DAY})
    plan = make_plan(replace(ALL, seen_for_seconds=1.0), REPOSITORY, facts, now=NOW)
    assert reason(plan, "9.13.1") is VerdictReason.SEEN_TOO_SHORTLY


def test_where_the_journal_cannot_say_what_it_has_seen_everything_is_kept() -> None:
    plan = make_plan(replace(ALL, seen_for_seconds=DAY), REPOSITORY, IDLE, now=NOW)
    assert chosen(plan) == []
    assert reason(plan, "9.13.1") is VerdictReason.SEEN_UNKNOWN
    assert chosen(make_plan(replace(ALL, seen_for_seconds=0.0), REPOSITORY, IDLE, now=NOW))


def test_only_what_is_approved_for_this_very_cluster_is_deleted() -> None:
    approved = Approved(packages=frozenset({("uuid-1", "9.13.1"), ("uuid-2", "9.14.1")}))
    rules = replace(ALL, approved=approved)
    plan = make_plan(rules, REPOSITORY, replace(IDLE, cluster_uuid="uuid-1"), now=NOW)
    assert chosen(plan) == ["9.13.1"]
    assert reason(plan, "9.14.1") is VerdictReason.NOT_APPROVED
    # What the policy itself would keep is kept for that, whoever has approved it.
    in_use = replace(IDLE, cluster_uuid="uuid-1", named={"9.13.1": "the cluster"})
    assert reason(make_plan(rules, REPOSITORY, in_use, now=NOW), "9.13.1") is VerdictReason.IN_USE


def test_an_approval_that_does_not_count_approves_nothing() -> None:
    approved = Approved(packages=frozenset({("uuid-1", "9.13.1")}), problem="the approved plan is too old")
    facts = replace(IDLE, cluster_uuid="uuid-1")
    plan = make_plan(replace(ALL, approved=approved), REPOSITORY, facts, now=NOW)
    assert chosen(plan) == []
    assert plan.decision("9.13.1").detail == "the approved plan is too old"  # type: ignore[union-attr]


VERSIONS = st.one_of(
    st.sampled_from(
        ["9.7", "9.7.0", "9.9.1", "9.10.1", "9.14.1RC1", "9.14.1", "9.14.1P2", "9.14.1P10", "x", ".."]
    ),
    st.text(st.sampled_from("0123456789.PRCDX-_/ä"), min_size=1, max_size=10),
)
PACKAGES = st.lists(
    st.builds(
        Package,
        version=VERSIONS,
        create_timestamp_seconds=st.one_of(st.none(), st.floats(NOW - 1e9, NOW + 1e6)),
    ),
    max_size=12,
    unique_by=lambda found: found.version,
)
RULES = st.builds(
    Rules,
    keep_newest=st.one_of(st.none(), st.integers(1, 5)),
    older_than_seconds=st.one_of(st.none(), st.floats(0, 1e9)),
    include=st.lists(st.sampled_from(["*", "9.*", "9.14.1*", "x"]), max_size=2).map(tuple),
    exclude=st.lists(st.sampled_from(["9.7*", "*P2", "*"]), max_size=2).map(tuple),
    max_deletes=st.integers(1, 6),
    seen_for_seconds=st.sampled_from([0.0, DAY, 1e9]),
    approved=st.one_of(
        st.none(),
        st.builds(
            Approved,
            packages=st.frozensets(st.tuples(st.sampled_from(["uuid-1", "uuid-2"]), VERSIONS)),
            problem=st.sampled_from(["", "", "too old"]),
        ),
    ),
)
STATES = st.sampled_from(
    [
        None,
        "completed",
        "canceled",
        "failed",
        "in_progress",
        "waiting",
        "paused_by_user",
        "cancel_pending",
        "?",
    ]
)
FACTS = st.builds(
    GuardFacts,
    named=st.dictionaries(VERSIONS, st.just("node n1"), max_size=3),
    update_state=STATES,
    download_state=st.sampled_from([None, "not_started", "running", "success", "failure", "?"]),
    being_deleted=st.frozensets(VERSIONS, max_size=2),
    cluster_uuid=st.sampled_from(["uuid-1", "uuid-2", ""]),
    clock_skew_seconds=st.one_of(st.none(), st.floats(-1e5, 1e5)),
    first_seen=st.one_of(
        st.none(), st.dictionaries(VERSIONS, st.floats(NOW - 1e9, NOW + 1e8), min_size=5, max_size=15)
    ),
)


@given(found=PACKAGES, rules=RULES, facts=FACTS, now=st.floats(NOW - 1e8, NOW + 1e8))
def test_no_protected_version_is_ever_chosen(
    found: list[Package], rules: Rules, facts: GuardFacts, now: float
) -> None:
    plan = make_plan(rules, listing(*found), facts, now=now)
    assert {decision.version for decision in plan.decisions} == {one.version for one in found}
    assert len(plan.chosen) <= rules.max_deletes
    for decision in plan.chosen:
        assert decision.version not in facts.named
        assert decision.version not in facts.being_deleted
        assert is_safe_version(decision.version)
        assert facts.update_state in FINISHED_UPDATE_STATES
        assert facts.download_state in IDLE_DOWNLOAD_STATES
        assert rules.keep_newest is not None or rules.older_than_seconds is not None
        if rules.keep_newest is not None:
            assert parse_release(decision.version) is not None
        if rules.older_than_seconds is not None:
            assert decision.create_timestamp_seconds is not None
            assert now - decision.create_timestamp_seconds > rules.older_than_seconds
            assert abs(facts.clock_skew_seconds or 0.0) <= MAX_CLOCK_SKEW_SECONDS
        if rules.seen_for_seconds > 0:
            assert facts.first_seen is not None
            assert now - facts.first_seen[decision.version] >= rules.seen_for_seconds
        if rules.approved is not None:
            assert (facts.cluster_uuid, decision.version) in rules.approved.packages
            assert rules.approved.problem == ""
    created = [decision.create_timestamp_seconds for decision in plan.chosen]
    known = [moment for moment in created if moment is not None]
    assert created[: len(known)] == sorted(known)


@given(found=PACKAGES, rules=RULES, facts=FACTS, seed=st.integers())
def test_the_order_of_the_listing_does_not_matter(
    found: list[Package], rules: Rules, facts: GuardFacts, seed: int
) -> None:
    shuffled = found.copy()
    random.Random(seed).shuffle(shuffled)  # noqa: S311 - an order, not a secret
    assert make_plan(rules, listing(*found), facts, now=NOW) == make_plan(
        rules, listing(*shuffled), facts, now=NOW
    )


@given(found=PACKAGES, newest=st.integers(1, 6))
def test_keep_newest_keeps_exactly_the_newest(found: list[Package], newest: int) -> None:
    rules = Rules(keep_newest=newest, older_than_seconds=None, include=("*",), exclude=(), max_deletes=1000)
    facts = GuardFacts(named={}, update_state=None, download_state="success")
    plan = make_plan(rules, listing(*found), facts, now=NOW)
    releases = {one.version: release for one in found if (release := parse_release(one.version)) is not None}
    kept = {release for version, release in releases.items() if version not in chosen(plan)}
    assert kept == set(sorted(set(releases.values()))[-newest:])
    assert {version for version, release in releases.items() if release not in kept} == set(chosen(plan))


@given(rules=RULES, facts=st.one_of(st.none(), FACTS))
def test_a_plan_over_an_incomplete_listing_is_empty(rules: Rules, facts: GuardFacts | None) -> None:
    plan = make_plan(rules, None, facts, now=NOW, problem="paging loops")
    assert plan == Plan(decisions=(), problem="paging loops")


@given(found=PACKAGES, rules=RULES)
def test_without_facts_nothing_is_chosen(found: list[Package], rules: Rules) -> None:
    plan = make_plan(rules, listing(*found), None, now=NOW)
    assert plan.chosen == ()
    assert plan.problem
