"""``/clusters/NAME``: everything that is known of one cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from aiohttp import web

from exporter.cleanup.cleanup_board import PolicyStatus
from exporter.cleanup.records import Run
from exporter.config import PolicyConfig
from exporter.ontap.requests.inventory import Inventory
from exporter.ontap.requests.listing import Package
from exporter.web.cleanup_json import decisions_of
from exporter.web.pages.fleet_row import row_of
from exporter.web.pages.rendering import page
from exporter.web.parameters import named_cluster
from exporter.web.sources import SOURCES

RUNS: Final = 20
"""This many runs, and this many deletions, are shown."""


async def cluster_page(request: web.Request) -> web.Response:
    """Answer with one cluster: 404 if it is unknown."""
    sources = request.app[SOURCES]
    status, cleanup = named_cluster(request), sources.cleanup()
    runs: Sequence[Run] = ()
    policies: Sequence[PolicyStatus] = ()
    configured: Sequence[PolicyConfig] = ()
    problem = ""
    if cleanup is not None:
        recorded, problem = await cleanup.service.recorded(lambda runs: runs.of_cluster(status.name, RUNS))
        runs = recorded or ()
        configured = cleanup.service.policies()
        found = [cleanup.board.get((status.name, policy.name)) for policy in configured]
        policies = [one for one in found if one is not None]
    row = row_of(status, policies, configured, sources.wall_clock())
    identity = status.inventory.identity if status.inventory else None
    return await page(
        request,
        "cluster.html",
        status=status,
        identity=identity,
        row=row,
        inventory=row.inventory,
        packages=_newest_first(row.inventory),
        failures=[(reason, count) for reason, count in status.failures.items() if count],
        slowest=max((poll.duration_seconds for poll in status.recent_polls), default=0.0),
        policies=policies,
        plans={
            policy.policy: plan
            for policy in policies
            if (plan := _last_plan(runs, policy.policy, uuid=identity.uuid if identity else None))
        },
        runs=runs[:RUNS],
        deletions=[(run, deletion) for run in runs for deletion in reversed(run.deletions)][:RUNS],
        problem=problem,
        cleans=cleanup is not None,
    )


def _newest_first(inventory: Inventory | None) -> list[Package]:
    """Order packages by release, the newest first; what is no release comes last."""
    packages = inventory.listing.packages if inventory else ()
    known = [(package.release, package) for package in packages if package.release is not None]
    known.sort(key=lambda pair: pair[0], reverse=True)
    return [package for _, package in known] + [package for package in packages if package.release is None]


def _last_plan(runs: Sequence[Run], policy: str, *, uuid: str | None) -> tuple[Run, Mapping[str, Any]] | None:
    """Return the newest plan of a policy, by version; not one of another cluster that had this name."""
    for run in runs:
        if run.policy == policy and run.plan and uuid in {None, run.cluster_uuid}:
            return run, {decision["version"]: decision for decision in decisions_of(run)}
    return None
