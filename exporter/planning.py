"""The ``plan`` command: the plan of each policy on each cluster."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from exporter.cleanup.approval import approval_of, load_plan
from exporter.cleanup.decide.plan import Approved, Decision, Plan
from exporter.cleanup.decide.policy import make_plan
from exporter.cleanup.policy_values import rules_of
from exporter.cleanup.preflight import Preflight, read_preflight
from exporter.config import CleanupConfig, Config, PolicyConfig
from exporter.files import write_file
from exporter.ontap.access import AccessOpener, ClusterAccess
from exporter.ontap.client import RequestCounts
from exporter.ontap.endpoint import ClusterSettings
from exporter.ontap.session import open_session

_HEADINGS = ("CLUSTER", "POLICY", "VERSION", "AGE", "VERDICT", "REASON")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterPlan:
    """The plan of one policy on one cluster."""

    cluster: str
    cluster_uuid: str | None
    policy: PolicyConfig
    plan: Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Plans:
    """What every policy would do.

    Attributes:
        made_timestamp_seconds: when the plans were made, Unix seconds.
        plans: one for every policy on every cluster that it applies to, in the order of the configuration.
        journal_problem: why the journal could not be read, so that nothing is known of what it has seen; ""
            where it was read, or is not needed.
    """

    made_timestamp_seconds: float
    plans: tuple[ClusterPlan, ...]
    journal_problem: str = ""


async def make_plans(config: Config, clusters: Iterable[ClusterSettings]) -> Plans:
    """Read the clusters that some policy applies to, and plan; nothing is deleted and nothing is stored."""
    policies = config.cleanup.policies if config.cleanup else ()
    wanted = [one for one in clusters if any(policy.applies_to(one) for policy in policies)]
    semaphore = asyncio.Semaphore(config.max_concurrent_polls)

    async def read(access: ClusterAccess) -> Preflight:
        async with semaphore:
            return await read_preflight(access, clock=time.monotonic)

    async with open_session() as session:
        accesses = AccessOpener(session=session, counts=RequestCounts()).open(wanted)
        found = dict(zip(accesses, await asyncio.gather(*map(read, accesses.values())), strict=True))
    now = time.time()
    problem = ""
    if config.cleanup is not None and any(policy.seen_for for policy in policies):
        found, problem = await _with_first_seen(found, config.cleanup, now=now)
    approvals = {policy.name: await approval_of(policy, now=now) for policy in policies}
    return Plans(
        made_timestamp_seconds=now,
        plans=tuple(
            ClusterPlan(
                cluster=cluster.name,
                cluster_uuid=found[cluster.name].cluster_uuid,
                policy=policy,
                plan=_plan(policy, found[cluster.name], approvals[policy.name], now=now),
            )
            for cluster in wanted
            for policy in policies
            if policy.applies_to(cluster)
        ),
        journal_problem=problem,
    )


async def _with_first_seen(
    found: Mapping[str, Preflight], cleanup: CleanupConfig, *, now: float
) -> tuple[dict[str, Preflight], str]:
    """Add since when each package has been there, by the journal; say why where it cannot be read."""
    from exporter.cleanup.journal import JournalError, read_journal  # noqa: PLC0415 - database libraries

    seen = dict(found)
    try:
        async with read_journal(cleanup.state) as journal:
            for name, preflight in found.items():
                if preflight.facts is not None:
                    first_seen = await journal.seen.since(preflight.facts.cluster_uuid, now=now)
                    seen[name] = preflight.with_facts(first_seen=first_seen)
    except JournalError as exc:
        return dict(found), str(exc)
    return seen, ""


def as_table(plans: Plans) -> str:
    """Return plans as a table: a line for every package, those to delete first."""
    rows: list[tuple[str, ...]] = [_HEADINGS]
    for one in plans.plans:
        subject = (one.cluster, one.policy.name + (" (dry run)" if one.policy.dry_run else ""))
        if one.plan.problem:
            rows.append((*subject, "-", "-", "KEEP ALL", one.plan.problem))
        rows += [(*subject, *_columns(decision)) for decision in one.plan.decisions]
        if not one.plan.decisions and not one.plan.problem:
            rows.append((*subject, "-", "-", "-", "the repository is empty"))
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS) - 1)]
    lines = (
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]])
        for row in rows
    )
    return "".join(f"{line}\n" for line in lines)


def as_json(plans: Plans) -> str:
    """Return plans as the JSON document that ``--save`` stores; times are Unix seconds."""
    document = {
        "saved_timestamp_seconds": plans.made_timestamp_seconds,
        "plans": [
            {
                "cluster": one.cluster,
                "cluster_uuid": one.cluster_uuid,
                "policy": one.policy.name,
                "dry_run": one.policy.dry_run,
                "problem": one.plan.problem,
                "packages": one.plan.as_json(),
            }
            for one in plans.plans
        ],
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def differences(plans: Plans, path: Path) -> str:
    """Return what has changed since a plan was saved in a file, a line for every package.

    Raises:
        ValueError: the file cannot be read, or is no saved plan.
    """
    saved = load_plan(path)
    before = {
        (one.cluster, one.policy, package.version): str(package.verdict)
        for one in saved.plans
        for package in one.packages
    }
    now = {
        (one.cluster, one.policy.name, decision.version): decision
        for one in plans.plans
        for decision in one.plan.decisions
    }
    lines = []
    for key in sorted(before.keys() | now.keys()):
        decision = now.get(key)
        was = before.get(key, "not there")
        becomes = "not there" if decision is None else str(decision.verdict)
        if was != becomes:
            cluster, policy, version = key
            why = "" if decision is None else f" ({decision.detail})"
            lines.append(f"{cluster}  {policy}  {_printable(version)}: {was} -> {becomes}{why}\n")
    return "".join(lines) or "nothing has changed since the plan was saved\n"


def save(plans: Plans, path: Path) -> None:
    """Store plans in a file, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    write_file(path, as_json(plans).encode())


def _plan(policy: PolicyConfig, preflight: Preflight, approved: Approved | None, *, now: float) -> Plan:
    rules = replace(rules_of(policy), approved=approved)
    return make_plan(rules, preflight.listing, preflight.facts, now=now, problem=preflight.problem)


def _columns(decision: Decision) -> tuple[str, ...]:
    age = "unknown"
    if decision.age_seconds is not None:
        age = f"{timedelta(seconds=decision.age_seconds).days} d"
    return (_printable(decision.version), age, str(decision.verdict), decision.detail)


def _printable(text: str) -> str:
    """Return a text from a cluster on one line, with control characters escaped."""
    return text if text.isprintable() else ascii(text)[1:-1]
