"""What a rule is, and how expressions are put together.

Expressions hold for one target and for one target per cluster, for replicas and shards, and where Thanos,
Mimir or vmalert evaluates them:

* What is known of a cluster is reduced to one series with ``max by``. Only the labels of ``mixin.yaml`` stay:
  those of the process would repeat an alert for each replica.
* Series of packages are never joined by ``job`` or ``instance``, for they may come from a target per cluster.
* A series that is missing excludes nothing: rules say ``unless`` it says the bad thing.
"""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import dedent

from ontap_mixin.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A recorded series.

    Attributes:
        name: as level:metric:operation.
        expr: its expression.
        why: what is not obvious about it.
    """

    name: str
    expr: str
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """An alert; its severity and times are in the settings.

    Attributes:
        name: the settings and the runbook know it by this name.
        expr: its expression.
        summary: one line.
        description: what is the case; with the value.
        why: what is not obvious about it.
    """

    name: str
    expr: str
    summary: str
    description: str
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Rules that are evaluated one after the other.

    Attributes:
        name: its name; the part before the dot names the file.
        rules: in their order.
        interval: how often they are evaluated; None: as Prometheus is configured.
    """

    name: str
    rules: tuple[Record | Alert, ...]
    interval: str | None = None


@dataclass(frozen=True, slots=True)
class Promql:
    """Puts expressions together as the settings say."""

    settings: Settings

    def series(self, metric: str, *matchers: str) -> str:
        """Select the series of a metric of the exporter."""
        chosen = ", ".join(matcher for matcher in (self.settings.series_selector, *matchers) if matcher)
        return f"{metric}{{{chosen}}}" if chosen else metric

    def target(self, metric: str) -> str:
        """Select ``up`` or another series that every target has, of the exporters alone."""
        return f"{metric}{{{self.settings.selector}}}"

    @property
    def fleet(self) -> str:
        """The labels of a fleet; none, if there is one."""
        return _listed(*self.settings.fleet_labels)

    @property
    def job(self) -> str:
        """The labels of a job."""
        return _listed(*self.settings.fleet_labels, "job")

    @property
    def instance(self) -> str:
        """The labels of a process."""
        return _listed(*self.settings.fleet_labels, "job", "instance")

    @property
    def cluster(self) -> str:
        """The labels that identify a cluster, whatever job its series come from."""
        return _listed(*self.settings.fleet_labels, "cluster")

    @property
    def polled(self) -> str:
        """The labels of a cluster as one process polls it."""
        return _listed(*self.settings.fleet_labels, "job", "instance", "cluster")

    def of_cluster(self, *further: str) -> str:
        """Return the labels of an alert about a cluster and the job that polls it."""
        fleet, labels = self.settings.fleet_labels, self.settings.cluster_labels
        return _listed(*fleet, "job", "cluster", *further, *labels)

    def of_repository(self, *further: str) -> str:
        """Return the labels of an alert about a cluster's packages; their job may be one for each cluster."""
        fleet, labels = self.settings.fleet_labels, self.settings.cluster_labels
        return _listed(*fleet, "cluster", *further, *labels)


def text(expression: str) -> str:
    """Return an expression that was written indented, over several lines."""
    return dedent(expression).strip()


def _listed(*labels: str) -> str:
    return ", ".join(labels)
