"""Checks the section ``cleanup``: the journal's URL, and values that depend on each other."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from zoneinfo import ZoneInfo

from exporter.config.checking import named_files
from exporter.config.checking.named_files import CheckFile
from exporter.config.checking.section_checks import check_section, name_conflicts
from exporter.config.problems import Diagnostics, show_value
from exporter.config.reading.database_url import SqliteUrl
from exporter.config.reading.values import fires, format_duration
from exporter.config.schema import CleanupConfig, PolicyConfig
from exporter.config.sections import Section, policies_of
from exporter.ontap.cluster_settings import ClusterSettings

_SHORTEST_SENSIBLE: Final = timedelta(minutes=1)


def check_cleanup(section: Section[CleanupConfig], check_file: CheckFile, found: Diagnostics) -> None:
    """Check everything under ``cleanup``."""
    check_section(section, check_file, found)
    if not section.is_broken("state") and isinstance(section.model.state, SqliteUrl):
        path = section.model.state.path
        section.add_file_check(found, check_file(named_files.check_database, path), path, "state")
    policies = policies_of(section)
    if not policies and not section.is_broken("policies"):
        found.error(section.document.location(section.at("policies")), "at least one policy is expected")
    found.errors.update(problem for _, problem in name_conflicts(policies))
    for policy in policies:
        _check_policy(policy, found)


def check_selectors(
    section: Section[CleanupConfig], clusters: Sequence[ClusterSettings], found: Diagnostics
) -> None:
    """Warn of every policy that applies to no cluster."""
    for policy in policies_of(section):
        if not any(map(policy.model.clusters.has, clusters)):
            found.warn(policy.location("clusters"), "matches no cluster")


def _check_policy(policy: Section[PolicyConfig], found: Diagnostics) -> None:
    model = policy.model
    for group in model.required:
        if not any(policy.has(key) for key in group) and not policy.is_broken(*group):
            found.error(policy.location(), f"{' or '.join(group)} is missing")
    if not policy.is_broken("clusters"):
        message = "must not be empty; leave it out where every cluster is meant"
        if policy.has("clusters") and not model.clusters.model_fields_set:
            found.error(policy.location("clusters"), message)
        if policy.has("clusters", "labels") and not model.clusters.labels:
            found.error(policy.location("clusters", "labels"), message)
    if not policy.is_broken("schedule", "every", "timezone"):
        _check_when(policy, found)


def _check_when(policy: Section[PolicyConfig], found: Diagnostics) -> None:
    model = policy.model
    if model.every is not None:
        if policy.has("timezone") and model.schedule is None:
            message = "a time zone is only for schedule; every counts from one run to the next"
            found.error(policy.location("timezone"), message)
        if model.every < _SHORTEST_SENSIBLE:
            every, shortest = format_duration(model.every), format_duration(_SHORTEST_SENSIBLE)
            message = f"every ({every}) is shorter than {shortest}"
            found.warn(policy.location("every"), message)
    if model.schedule is not None and not fires(model.schedule, ZoneInfo(model.timezone)):
        timezone = policy.written(model.timezone, "timezone")
        fields = show_value(policy.written(model.schedule, "schedule"))
        message = f"never fires: no such day and time ever comes in {timezone}: {fields}"
        found.error(policy.location("schedule"), message)
