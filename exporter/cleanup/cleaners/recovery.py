"""Brings deletions to their end that an earlier or another process has left unfinished; no DELETE is sent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace

from exporter.cleanup.delete import lifecycle
from exporter.cleanup.delete.driver import DeletionDriver
from exporter.cleanup.delete.steps import Sleep
from exporter.cleanup.policy_values import limits_of
from exporter.cleanup.preflight import usable_uuid
from exporter.cleanup.records import Deletion, Lease
from exporter.cleanup.run import Services, log_outcome
from exporter.config import PolicyConfig
from exporter.ontap.access import ClusterAccess
from exporter.ontap.errors import BadResponse
from exporter.ontap.requests.facts import read_identity

_UNKNOWN_POLICY = PolicyConfig(stop_after_failures=0)
"""For the unfinished deletions of a policy that is no longer configured."""


async def end_deletions(
    unfinished: Iterable[Deletion],
    *,
    lease: Lease,
    access: ClusterAccess,
    policies: Iterable[PolicyConfig],
    services: Services,
    sleep: Callable[[Sleep], Awaitable[None]],
) -> None:
    """Bring the deletions of the lease's cluster to their end, one after the other.

    Raises:
        JournalError: a step could not be recorded.
        OntapError: the cluster does not answer at the configured address, or another one does.
    """
    await _check_identity(access, lease.cluster_uuid)
    configured = {policy.name: policy for policy in policies}
    for deletion in unfinished:
        policy = configured.get(deletion.policy, _UNKNOWN_POLICY)
        limits = limits_of(policy)
        in_flight_seconds = limits.return_timeout_seconds + services.pace.in_flight_seconds
        # By this time the last attempt has begun, and with it job_timeout.
        begun = deletion.intended_timestamp_seconds + limits.retry_busy_for_seconds
        left = limits.job_timeout_seconds - max(services.wall_clock() - begun, 0.0)
        now = services.clock()
        progress, action = lifecycle.resume(
            deletion,
            limits=replace(limits, job_timeout_seconds=max(left, in_flight_seconds)),
            pace=services.pace,
            now=now,
            in_flight_until=now + in_flight_seconds,
        )
        driver = DeletionDriver(
            run_id=deletion.run_id,
            version=deletion.version,
            create_timestamp_seconds=deletion.create_timestamp_seconds,
            access=access,
            journal=services.journal,
            lease=lease,
            stop_after_failures=policy.stop_after_failures,
            checks=None,
            sleep=sleep,
            clock=services.clock,
            wall_clock=services.wall_clock,
        )
        with services.board.in_progress((deletion.cluster, deletion.policy)):
            ended = await driver.drive(progress, action)
        if isinstance(ended, Deletion):  # nothing is decided anew, so it is one
            log_outcome(ended)


async def _check_identity(access: ClusterAccess, cluster_uuid: str) -> None:
    """Check that this cluster, and no other, answers at the configured address."""
    found = usable_uuid(await access.ask(read_identity(), is_fact=True))
    if found != cluster_uuid:
        raise BadResponse(f"another cluster answers at {access.config.endpoint.origin} now")
