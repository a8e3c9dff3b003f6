"""From a listing, facts, a policy and the time to a plan: every package with a verdict and a reason. Pure.

Dry run, the ``plan`` command and the real run make, print and use the same plan. None of the guards can be
switched off, and whatever is not known speaks for keeping.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fnmatch import fnmatchcase

from exporter.cleanup.decide.plan import Decision, GuardFacts, Plan, Rules, Verdict, VerdictReason
from exporter.ontap.requests.deletion import is_safe_version
from exporter.ontap.requests.facts import FINISHED_UPDATE_STATES, IDLE_DOWNLOAD_STATES
from exporter.ontap.requests.listing import Listing, Package
from exporter.ontap.requests.versions import Release, in_use, parse_release, version_spellings

MAX_CLOCK_SKEW_SECONDS = 3600.0
"""Ages are not trusted if the cluster's clock and ours differ by more."""

Objection = tuple[VerdictReason, str]
"""Why a package is kept, as a word and as a phrase."""


def make_plan(
    rules: Rules,
    listing: Listing | None,
    facts: GuardFacts | None,
    *,
    now: float,
    problem: str = "",
) -> Plan:
    """Decide on every package.

    Args:
        rules: what the policy retires.
        listing: the whole repository; None if it could not be read whole: the plan is empty.
        facts: what guards packages; None if it could not be read in full: every package is kept.
        now: Unix seconds.
        problem: why the listing or the facts are missing.
    """
    if listing is None:
        return Plan(decisions=(), problem=problem or "the listing could not be read whole")
    newest = _newest(rules, listing)
    judged = [_judge(package, rules, facts, newest, now) for package in listing.packages]
    retired = [decision for decision in judged if decision.verdict is Verdict.DELETE]
    retired.sort(key=_oldest_first)
    kept = [decision for decision in judged if decision.verdict is Verdict.KEEP]
    kept += [_over_limit(decision, rules) for decision in retired[rules.max_deletes :]]
    kept.sort(key=lambda decision: decision.version)
    if facts is None:
        problem = problem or "the facts that protect packages could not be read"
    return Plan(decisions=(*retired[: rules.max_deletes], *kept), problem=problem)


def _judge(
    package: Package, rules: Rules, facts: GuardFacts | None, newest: frozenset[str], now: float
) -> Decision:
    """Decide on one package by the first objection; it is deleted only if there is none."""
    created = package.create_timestamp_seconds
    age = None if created is None else max(now - created, 0.0)
    objection = next(_objections(package.version, age, rules, facts, newest, now=now), None)
    reason, detail = objection or (VerdictReason.RETIRED, _why_retired(rules))
    return Decision(
        version=package.version,
        create_timestamp_seconds=created,
        age_seconds=age,
        verdict=Verdict.DELETE if objection is None else Verdict.KEEP,
        reason=reason,
        detail=detail,
    )


def _objections(
    version: str,
    age: float | None,
    rules: Rules,
    facts: GuardFacts | None,
    newest: frozenset[str],
    *,
    now: float,
) -> Iterator[Objection]:
    """Yield every reason to keep a package: first the guards, then those of the policy."""
    yield from _guards(version, facts)
    yield from _patterns(version, rules)
    yield from _conditions(version, age, rules, facts, newest)
    yield from _precautions(version, rules, facts, now)


def _guards(version: str, facts: GuardFacts | None) -> Iterator[Objection]:
    """Yield the guards: reasons to keep a version that no policy can override."""
    if not is_safe_version(version):
        yield VerdictReason.UNSAFE_NAME, "the version is not safe in a URL"
    if facts is None:
        yield VerdictReason.FACTS_UNKNOWN, "what the cluster runs could not be read"
        return
    is_in_use = in_use(frozenset(facts.named)).have(version)
    if is_in_use is None:
        yield VerdictReason.FACTS_UNKNOWN, "a version in use cannot be compared with others"
    if facts.update_state not in FINISHED_UPDATE_STATES:
        yield VerdictReason.UPDATE_UNFINISHED, f"a software update is {facts.update_state}"
    if facts.download_state not in IDLE_DOWNLOAD_STATES:
        yield (
            VerdictReason.DOWNLOAD_RUNNING,
            f"a package download is {facts.download_state or 'in no known state'}",
        )
    if is_in_use:
        by = next(by for named, by in facts.named.items() if in_use(frozenset({named})).have(version))
        yield VerdictReason.IN_USE, f"named by {by}"
    if version in facts.being_deleted:
        yield VerdictReason.BEING_DELETED, "the job of an earlier deletion may still be running"


def _patterns(version: str, rules: Rules) -> Iterator[Objection]:
    """Yield why the include and exclude globs keep a version."""
    if not any(fnmatchcase(version, glob) for glob in rules.include):
        yield VerdictReason.NOT_INCLUDED, "no include glob matches"
    for glob in rules.exclude:
        if _excludes(glob, version):
            yield VerdictReason.EXCLUDED, f"excluded by {glob}"


def _excludes(glob: str, version: str) -> bool:
    """Say whether an exclude glob matches a version, in any spelling of either."""
    release = parse_release(glob)
    is_named = release is not None and release == parse_release(version)
    return is_named or any(fnmatchcase(spelling, glob.upper()) for spelling in version_spellings(version))


def _conditions(
    version: str, age: float | None, rules: Rules, facts: GuardFacts | None, newest: frozenset[str]
) -> Iterator[Objection]:
    """Yield why keep_newest and older_than do not retire a version."""
    if rules.keep_newest is None and rules.older_than_seconds is None:
        yield VerdictReason.NO_CONDITION, "the policy has neither keep_newest nor older_than"
    if rules.keep_newest is not None:
        if parse_release(version) is None:
            yield VerdictReason.RELEASE_UNKNOWN, "the version has no place in the order of releases"
        if version in newest:
            yield VerdictReason.AMONG_NEWEST, f"among the {rules.keep_newest} newest"
    if rules.older_than_seconds is not None:
        skew = None if facts is None else facts.clock_skew_seconds
        if skew is not None and abs(skew) > MAX_CLOCK_SKEW_SECONDS:
            yield VerdictReason.CLOCK_SKEWED, f"the cluster's clock differs from ours by {_span(abs(skew))}"
        if age is None:
            yield VerdictReason.AGE_UNKNOWN, "create_time is missing or unreadable"
        elif age <= rules.older_than_seconds:
            yield VerdictReason.TOO_YOUNG, f"not older than {_span(rules.older_than_seconds)}"


def _precautions(version: str, rules: Rules, facts: GuardFacts | None, now: float) -> Iterator[Objection]:
    """Yield why a retired package is not deleted yet."""
    if rules.seen_for_seconds > 0:
        first_seen = None if facts is None else facts.first_seen
        if first_seen is None:
            yield VerdictReason.SEEN_UNKNOWN, "the journal could not say since when it has been there"
        elif now - first_seen.get(version, now) < rules.seen_for_seconds:
            yield VerdictReason.SEEN_TOO_SHORTLY, f"not seen for {_span(rules.seen_for_seconds)} yet"
    if rules.approved is not None:
        if rules.approved.problem:
            yield VerdictReason.NOT_APPROVED, rules.approved.problem
        elif facts is None or (facts.cluster_uuid, version) not in rules.approved.packages:
            yield VerdictReason.NOT_APPROVED, "the approved plan does not name it"


def _newest(rules: Rules, listing: Listing) -> frozenset[str]:
    """Return the versions that keep_newest keeps: of the whole repository, whatever the patterns say.

    Two spellings of one release, such as 9.7 and 9.7.0, count once.
    """
    releases = {package.version: parse_release(package.version) for package in listing.packages}
    placed = {release for release in releases.values() if release is not None}
    newest = sorted(placed, reverse=True)[: rules.keep_newest or 0]
    return frozenset(version for version, release in releases.items() if release in newest)


def _oldest_first(decision: Decision) -> tuple[bool, float, bool, Release | tuple[()], str]:
    """Order candidates by age; those of unknown age come last, by release."""
    created = decision.create_timestamp_seconds
    release = parse_release(decision.version)
    return (created is None, created or 0.0, release is None, release or (), decision.version)


def _over_limit(decision: Decision, rules: Rules) -> Decision:
    return replace(
        decision,
        verdict=Verdict.KEEP,
        reason=VerdictReason.OVER_LIMIT,
        detail=f"its turn comes later: max_deletes_per_run is {rules.max_deletes}",
    )


def _why_retired(rules: Rules) -> str:
    """Return the policy's conditions, which a retired package meets."""
    conditions = []
    if rules.older_than_seconds is not None:
        conditions.append(f"older than {_span(rules.older_than_seconds)}")
    if rules.keep_newest is not None:
        conditions.append(f"not among the {rules.keep_newest} newest")
    return ", ".join(conditions)


def _span(seconds: float) -> str:
    return f"{seconds / 86_400:g} d" if seconds >= 86_400 else f"{seconds:g} s"  # noqa: PLR2004 - a day
