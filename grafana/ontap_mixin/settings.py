"""``mixin.yaml`` as a value."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field

FILE = Path(__file__).parents[1] / "mixin.yaml"

Duration = Annotated[str, Field(pattern=r"^\d+[smhd]$")]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Severity(StrEnum):
    """Who is told."""

    CRITICAL = "critical"  # the person on call, at night too
    WARNING = "warning"  # the team, in the morning
    INFO = "info"  # a list that somebody reads from time to time


class AlertSettings(_Strict):
    """How urgent an alert is, how long it waits, and how long it goes on without its cause."""

    severity: Severity
    wait: Duration = Field(alias="for")
    keep: Duration


class Thresholds(_Strict):
    """Every number that operators may want to change; ``mixin.yaml`` explains them."""

    unused_package_age_days: float
    packages: int
    many_clusters: int
    clusters_down_ratio: float
    cluster_changes: int
    scrape_changes: int
    process_starts: int
    reaches_none_of: int
    polls_late_ratio: float
    polls_skipped_ratio: float
    clock_skew_seconds: float
    certificate_days: float
    cleanup_overdue_hours: float
    dry_run_candidates: int
    deletions_a_day: int
    deletions_ratio: float


class Link(_Strict):
    """A link at the top of the dashboards: to an address, or to all dashboards with a tag."""

    title: str
    url: str | None = None
    tag: str | None = None


class Settings(_Strict):
    """Everything that differs between installations; ``mixin.yaml`` explains it."""

    selector: str
    series_selector: str
    cluster_labels: tuple[str, ...]
    fleet_labels: tuple[str, ...]
    runbook_base: str
    links: tuple[Link, ...]
    thresholds: Thresholds
    alerts: Mapping[str, AlertSettings]


def load(file: Path = FILE) -> Settings:
    """Read the settings.

    Raises:
        pydantic.ValidationError: a key is missing, unknown, or has a value of another type.
    """
    return Settings.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
