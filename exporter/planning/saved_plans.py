"""Plans as JSON, and what has changed since some were saved."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

from exporter.cleanup.decide.plan import Verdict
from exporter.config.plan_file import SavedPlan, SavedPolicyPlan
from exporter.planning.fleet_plans import ClusterPlan, Plans
from exporter.terminal import counted

_WAS = {Verdict.DELETE: "would have been deleted", Verdict.KEEP: "was kept"}
_IS = {Verdict.DELETE: "would be deleted", Verdict.KEEP: "is kept"}


def as_json(plans: Plans, *, ascii_only: bool = False) -> str:
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
    return json.dumps(document, indent=2, ensure_ascii=ascii_only) + "\n"


def differences(plans: Plans, saved: SavedPlan, *, clusters: frozenset[str] | None = None) -> Iterator[str]:
    """Say what has changed since plans were saved: a line for every package, and one for all together.

    ``clusters`` are those of interest; None: all.
    """
    then = {
        (one.cluster, one.policy): one for one in saved.plans if clusters is None or one.cluster in clusters
    }
    now = {(one.cluster, one.policy.name): one for one in plans.plans}
    lines = []
    for cluster, policy in sorted(then.keys() | now.keys()):
        key = (cluster, policy)
        lines += [f"{cluster}  {policy}  {change}" for change in _changes(then.get(key), now.get(key))]
    yield from lines
    if not lines:
        yield "nothing has changed since the plan was saved"
        return
    moment = datetime.fromtimestamp(saved.saved_timestamp_seconds, UTC)
    yield f"{counted(len(lines), 'difference')} to the plan that was saved on {moment:%Y-%m-%d %H:%M} UTC"


def _changes(then: SavedPolicyPlan | None, now: ClusterPlan | None) -> Iterator[str]:
    """Say what has changed of one policy on one cluster."""
    if now is None:
        yield "is not planned any more: the cluster or the policy is gone, or they do not belong together"
        return
    if now.plan.problem and (then is None or then.problem != now.plan.problem):
        yield f"KEEP ALL: {now.plan.problem}"
    if now.plan.problem:
        return
    if then is not None and then.problem:
        yield f"could not be planned then: {then.problem}"
    packages = () if then is None else then.packages
    before = {package.version: Verdict(package.verdict) for package in packages}
    decisions = {decision.version: decision for decision in now.plan.decisions}
    for version in sorted(before.keys() | decisions.keys()):
        was, decision = before.get(version), decisions.get(version)
        if decision is None:
            yield f"{version}: {_WAS[before[version]]}, is gone"
        elif was is None:
            yield f"{version}: is new, {_IS[decision.verdict]}: {decision.detail}"
        elif was is not decision.verdict:
            yield f"{version}: {_WAS[was]}, {_IS[decision.verdict]} now: {decision.detail}"
