"""The rules, limits, schedule and fingerprint of a configured policy, for the parts that know no models."""

from __future__ import annotations

import hashlib

from exporter.cleanup.decide.plan import Rules
from exporter.cleanup.decide.schedule import Schedule
from exporter.cleanup.delete.limits import Limits
from exporter.config import PolicyConfig


def rules_of(policy: PolicyConfig) -> Rules:
    """Return what a configured policy retires."""
    return Rules(
        keep_newest=policy.keep_newest,
        older_than_seconds=None if policy.older_than is None else policy.older_than.total_seconds(),
        include=tuple(policy.include),
        exclude=tuple(policy.exclude),
        max_deletes=policy.max_deletes_per_run,
        seen_for_seconds=policy.seen_for.total_seconds(),
    )


def limits_of(policy: PolicyConfig) -> Limits:
    """Return how long a configured policy's deletions are tried and followed."""
    return Limits(
        return_timeout_seconds=policy.return_timeout,
        job_timeout_seconds=policy.job_timeout.total_seconds(),
        retry_busy_for_seconds=policy.retry_busy_for.total_seconds(),
    )


def schedule_of(policy: PolicyConfig) -> Schedule:
    """Return when a configured policy runs."""
    return Schedule(
        cron=policy.schedule,
        timezone=policy.timezone,
        every_seconds=None if policy.every is None else policy.every.total_seconds(),
        start_within_seconds=policy.start_within.total_seconds(),
    )


def digest_of(policy: PolicyConfig) -> str:
    """Return a fingerprint of a configured policy: when it changes, a pause after failures ends.

    Only what the configuration sets counts, so that a pause outlives a release with a new key.
    """
    written = [(name, str(getattr(policy, name))) for name in sorted(policy.model_fields_set)]
    return hashlib.sha256(repr(written).encode()).hexdigest()[:16]
