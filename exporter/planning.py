"""The ``plan`` command: the plan of each policy on each cluster."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from exporter.cleanup.plan import Decision, Plan
from exporter.cleanup.policy import make_plan
from exporter.cleanup.preflight import Preflight, read_preflight
from exporter.cleanup.rules import rules_of
from exporter.config import ClusterConfig, Config, PolicyConfig
from exporter.ontap.access import AccessOpener, ClusterAccess
from exporter.ontap.client import RequestCounts, open_session

_HEADINGS = ("CLUSTER", "POLICY", "VERSION", "AGE", "VERDICT", "REASON")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterPlan:
    """The plan of one policy on one cluster."""

    cluster: str
    policy: PolicyConfig
    plan: Plan


async def make_plans(config: Config, clusters: Iterable[ClusterConfig]) -> tuple[ClusterPlan, ...]:
    """Read the clusters to which a policy applies, and make the plans; nothing is deleted.

    Returns:
        a plan for every policy on every cluster that it applies to, in the order of the configuration.
    """
    policies = config.cleanup.policies if config.cleanup else ()
    wanted = [one for one in clusters if any(policy.applies_to(one) for policy in policies)]
    semaphore = asyncio.Semaphore(config.max_concurrent_polls)

    async def read(access: ClusterAccess) -> Preflight:
        async with semaphore:
            return await read_preflight(access)

    async with open_session() as session:
        accesses = AccessOpener(session=session, counts=RequestCounts()).open(wanted)
        preflight = dict(zip(accesses, await asyncio.gather(*map(read, accesses.values())), strict=True))
    now = time.time()
    return tuple(
        ClusterPlan(cluster=cluster.name, policy=policy, plan=_plan(policy, preflight[cluster.name], now))
        for cluster in wanted
        for policy in policies
        if policy.applies_to(cluster)
    )


def as_table(plans: Iterable[ClusterPlan]) -> str:
    """Return plans as a table: a line for every package, first the packages to delete."""
    rows: list[tuple[str, ...]] = [_HEADINGS]
    for one in plans:
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


def as_json(plans: Iterable[ClusterPlan]) -> str:
    """Return plans as a JSON document; times are Unix seconds."""
    document = {
        "plans": [
            {
                "cluster": one.cluster,
                "policy": one.policy.name,
                "dry_run": one.policy.dry_run,
                "problem": one.plan.problem,
                "packages": [
                    {
                        "version": decision.version,
                        "create_timestamp_seconds": decision.create_timestamp_seconds,
                        "age_seconds": decision.age_seconds,
                        "verdict": str(decision.verdict),
                        "reason": str(decision.reason),
                        "detail": decision.detail,
                    }
                    for decision in one.plan.decisions
                ],
            }
            for one in plans
        ]
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _plan(policy: PolicyConfig, preflight: Preflight, now: float) -> Plan:
    return make_plan(rules_of(policy), preflight.listing, preflight.facts, now=now, problem=preflight.problem)


def _columns(decision: Decision) -> tuple[str, ...]:
    age = "unknown"
    if decision.age_seconds is not None:
        age = f"{timedelta(seconds=decision.age_seconds).days} d"
    return (_printable(decision.version), age, str(decision.verdict), decision.detail)


def _printable(text: str) -> str:
    """Return a text from a cluster on one line, with control characters escaped."""
    return text if text.isprintable() else ascii(text)[1:-1]
