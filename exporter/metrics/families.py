"""The table of all metrics: a row says what a metric is and how its samples follow from a value.

Names, types and labels are a public contract: rows are added, never renamed or dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from exporter.polling.board import ClusterStatus

S = TypeVar("S")

Sample = tuple[tuple[str, ...], float]
"""The values of the family's own labels, in the row's order, and the sample's value."""


class Kind(StrEnum):
    """The types of metric in use, as Prometheus names them."""

    GAUGE = "gauge"  # a value that goes up and down
    COUNTER = "counter"  # a value that only grows, from 0 at the start of the process


class Value(StrEnum):
    """How a sample's value is exposed."""

    AS_IT_IS = "as it is"  # the value itself
    AGE = "age"  # the seconds from the value, a Unix time, to the scrape; 0 where that lies in the future


@dataclass(frozen=True, slots=True, kw_only=True)
class Family(Generic[S]):
    """One metric.

    Attributes:
        name: the full name, with ``_total`` for a counter.
        kind: its type.
        help: one sentence.
        source: where the value comes from: ONTAP's field, or the exporter itself.
        labels: its own labels beside those of the cluster, in alphabetical order.
        samples: gives its samples for a value.
        value: how a sample's value is exposed.
        while_fresh: whether it goes away when the cluster's inventory grows stale.
    """

    name: str
    kind: Kind = Kind.GAUGE
    help: str
    source: str
    labels: tuple[str, ...] = ()
    samples: Callable[[S], Iterable[Sample]]
    value: Value = Value.AS_IT_IS
    while_fresh: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ExporterState:
    """What the exporter tells of itself.

    Attributes:
        version: of this program.
        python_version: of the interpreter.
        revision: of the source that this program was built from.
        last_reload_successful: whether the configuration was accepted when it was last read.
        last_reload_success_timestamp_seconds: when it was last accepted.
        clusters: how many clusters this process polls.
        requests: requests sent to ONTAP by (method, code).
        poll_delay_seconds: how late the latest poll started.
        shard_ordinal: this process's place among the shards, from 0.
        total_shards: how many shards there are.
    """

    version: str
    python_version: str
    revision: str
    last_reload_successful: bool
    last_reload_success_timestamp_seconds: float
    clusters: int
    requests: Mapping[tuple[str, str], int]
    poll_delay_seconds: float
    shard_ordinal: int
    total_shards: int


def _one(value: float | None) -> Iterable[Sample]:
    """Give the one sample of a metric without labels of its own; none for None."""
    return () if value is None else (((), value),)


def _cluster_info(status: ClusterStatus) -> Iterable[Sample]:
    identity = status.inventory.identity if status.inventory else None
    if identity is None:
        return ()
    return (((identity.name or "", identity.ontap_version or "", identity.uuid or ""), 1),)


def _packages(status: ClusterStatus) -> Iterable[Sample]:
    return _one(len(status.inventory.listing.packages) if status.inventory else None)


def _unnamed_packages(status: ClusterStatus) -> Iterable[Sample]:
    return _one(status.inventory.listing.unnamed if status.inventory else None)


def _package_info(status: ClusterStatus) -> Iterable[Sample]:
    if status.inventory is None:
        return ()
    return (((package.version,), 1) for package in status.inventory.listing.packages)


def _create_timestamps(status: ClusterStatus) -> Iterable[Sample]:
    if status.inventory is None:
        return ()
    return (
        ((package.version,), package.create_timestamp_seconds)
        for package in status.inventory.listing.packages
        if package.create_timestamp_seconds is not None
    )


def _in_use(status: ClusterStatus) -> Iterable[Sample]:
    inventory = status.inventory
    if inventory is None or inventory.versions_in_use is None:
        return ()
    in_use = inventory.versions_in_use
    return (((package.version,), package.version in in_use) for package in inventory.listing.packages)


def _failures(status: ClusterStatus) -> Iterable[Sample]:
    return (((str(reason),), count) for reason, count in status.failures.items())


CLUSTER_FAMILIES: tuple[Family[ClusterStatus], ...] = (
    Family(
        name="ontap_up",
        help="Whether the last poll of the cluster succeeded (1) or not (0).",
        source="exporter",
        samples=lambda status: _one(status.up),
    ),
    Family(
        name="ontap_cluster_info",
        help="The cluster's identity as ONTAP states it, always 1.",
        source="GET /cluster: name, uuid, version",
        labels=("name", "ontap_version", "uuid"),
        samples=_cluster_info,
    ),
    Family(
        name="ontap_software_packages",
        help="Packages in the cluster's software repository.",
        source="GET /cluster/software/packages: version",
        samples=_packages,
        while_fresh=True,
    ),
    Family(
        name="ontap_software_packages_unnamed",
        help="Records of the listing without a version, which are in no other metric.",
        source="GET /cluster/software/packages: version",
        samples=_unnamed_packages,
        while_fresh=True,
    ),
    Family(
        name="ontap_software_package_info",
        help="A package in the cluster's software repository, always 1.",
        source="GET /cluster/software/packages: version",
        labels=("version",),
        samples=_package_info,
        while_fresh=True,
    ),
    Family(
        name="ontap_software_package_create_timestamp_seconds",
        help="When the package was added to the repository, in Unix time.",
        source="GET /cluster/software/packages: create_time",
        labels=("version",),
        samples=_create_timestamps,
        while_fresh=True,
    ),
    Family(
        name="ontap_software_package_age_seconds",
        help="Age of the package at the moment of the scrape, 0 for a creation in the future.",
        source="GET /cluster/software/packages: create_time",
        labels=("version",),
        samples=_create_timestamps,
        value=Value.AGE,
        while_fresh=True,
    ),
    Family(
        name="ontap_software_package_in_use",
        help="Whether the cluster, a node or a pending update names this version (1) or none does (0).",
        source="GET /cluster/software: version, pending_version, nodes; "
        "GET /cluster and GET /cluster/nodes: version",
        labels=("version",),
        samples=_in_use,
        while_fresh=True,
    ),
    Family(
        name="ontap_last_poll_timestamp_seconds",
        help="End of the last poll, good or bad, in Unix time.",
        source="exporter",
        samples=lambda status: _one(status.last_poll.ended_timestamp_seconds if status.last_poll else None),
    ),
    Family(
        name="ontap_last_successful_poll_timestamp_seconds",
        help="End of the last good poll, in Unix time, 0 before the first.",
        source="exporter",
        samples=lambda status: _one(status.inventory_timestamp_seconds),
    ),
    Family(
        name="ontap_poll_duration_seconds",
        help="Duration of the last poll, good or bad.",
        source="exporter",
        samples=lambda status: _one(status.last_poll.duration_seconds if status.last_poll else None),
    ),
    Family(
        name="ontap_poll_pages",
        help="Pages of the packages listing that the last good poll read.",
        source="GET /cluster/software/packages: _links.next",
        samples=lambda status: _one(status.inventory.listing.pages if status.inventory else None),
    ),
    Family(
        name="ontap_polls_total",
        kind=Kind.COUNTER,
        help="Polls that have ended, good or bad.",
        source="exporter",
        samples=lambda status: _one(status.polls),
    ),
    Family(
        name="ontap_poll_failures_total",
        kind=Kind.COUNTER,
        help="Failed polls by reason.",
        source="exporter",
        labels=("reason",),
        samples=_failures,
    ),
)
"""Every metric that carries the label ``cluster`` and the cluster's configured labels."""

EXPORTER_FAMILIES: tuple[Family[ExporterState], ...] = (
    Family(
        name="ontap_exporter_build_info",
        help="What this exporter was built from, always 1.",
        source="exporter",
        labels=("python_version", "revision", "version"),
        samples=lambda state: (((state.python_version, state.revision, state.version), 1),),
    ),
    Family(
        name="ontap_exporter_config_last_reload_successful",
        help="Whether the configuration was accepted when it was last read (1) or not (0).",
        source="exporter",
        samples=lambda state: _one(state.last_reload_successful),
    ),
    Family(
        name="ontap_exporter_config_last_reload_success_timestamp_seconds",
        help="When the configuration was last accepted, in Unix time.",
        source="exporter",
        samples=lambda state: _one(state.last_reload_success_timestamp_seconds),
    ),
    Family(
        name="ontap_exporter_clusters",
        help="Clusters that this process polls.",
        source="exporter",
        samples=lambda state: _one(state.clusters),
    ),
    Family(
        name="ontap_exporter_api_requests_total",
        kind=Kind.COUNTER,
        help="Requests sent to ONTAP by method and HTTP status, which is error where no answer came.",
        source="exporter",
        labels=("code", "method"),
        samples=lambda state: (
            ((code, method), count) for (method, code), count in sorted(state.requests.items())
        ),
    ),
    Family(
        name="ontap_exporter_poll_delay_seconds",
        help="How late the latest poll started.",
        source="exporter",
        samples=lambda state: _one(state.poll_delay_seconds),
    ),
    Family(
        name="ontap_exporter_shard_ordinal",
        help="This process's place among the shards, from 0.",
        source="exporter",
        samples=lambda state: _one(state.shard_ordinal),
    ),
    Family(
        name="ontap_exporter_total_shards",
        help="Shards that the clusters are divided among.",
        source="exporter",
        samples=lambda state: _one(state.total_shards),
    ),
)
"""Every metric that tells of this process."""
