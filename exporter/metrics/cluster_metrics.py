"""The table of the metrics of a cluster.

Names, types and labels are a public contract: rows are added, never renamed or dropped.
"""

from __future__ import annotations

from collections.abc import Iterable

from exporter.metrics.exposition import Exposition
from exporter.metrics.family import Family, Sample, one
from exporter.polling.board import ClusterStatus


def _cluster_info(status: ClusterStatus) -> Iterable[Sample]:
    identity = status.inventory.identity if status.inventory else None
    if identity is not None:
        yield (identity.name or "", identity.ontap_version or "", identity.uuid or ""), 1


def _package_info(status: ClusterStatus) -> Iterable[Sample]:
    for package in status.inventory.listing.packages if status.inventory else ():
        release = package.release
        yield (release.sort_key if release else "", release.train if release else "", package.version), 1


def _create_timestamps(status: ClusterStatus) -> Iterable[Sample]:
    for package in status.inventory.listing.packages if status.inventory else ():
        if package.create_timestamp_seconds is not None:
            yield (package.version,), package.create_timestamp_seconds


def _in_use(status: ClusterStatus) -> Iterable[Sample]:
    if status.inventory is None:
        return
    for package in status.inventory.listing.packages:
        is_in_use = status.inventory.in_use(package)
        if is_in_use is not None:
            yield (package.version,), is_in_use


def _update_info(status: ClusterStatus) -> Iterable[Sample]:
    software = status.inventory.software if status.inventory else None
    if software is not None and software.update_in_progress is not None:
        yield (software.pending_version or "", software.update_state or "", software.version or ""), 1


def _update_in_progress(status: ClusterStatus) -> Iterable[Sample]:
    software = status.inventory.software if status.inventory else None
    return one(None if software is None else software.update_in_progress)


def _known_packages(status: ClusterStatus) -> object:
    return status.inventory and status.inventory.listing.packages


def _known_packages_and_use(status: ClusterStatus) -> object:
    return status.inventory and (status.inventory.listing.packages, status.inventory.versions_in_use)


CLUSTER_FAMILIES: tuple[Family[ClusterStatus], ...] = (
    Family(
        name="ontap_up",
        help="Whether the last poll of the cluster succeeded (1) or not (0).",
        samples=lambda status: one(status.up),
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
        samples=lambda status: one(len(status.inventory.listing.packages) if status.inventory else None),
        while_fresh=True,
    ),
    Family(
        name="ontap_software_packages_unnamed",
        help="Records of the listing without a version, which are in no other metric.",
        source="GET /cluster/software/packages: version",
        samples=lambda status: one(status.inventory.listing.unnamed if status.inventory else None),
        while_fresh=True,
    ),
    Family(
        name="ontap_software_package_info",
        help="A package in the cluster's software repository, always 1.",
        source="GET /cluster/software/packages: version",
        labels=("sort_key", "train", "version"),
        samples=_package_info,
        while_fresh=True,
        depends_on=_known_packages,
    ),
    Family(
        name="ontap_software_package_create_timestamp_seconds",
        help="The package's create_time, in Unix time: when it was loaded or built.",
        source="GET /cluster/software/packages: create_time",
        labels=("version",),
        samples=_create_timestamps,
        while_fresh=True,
        depends_on=_known_packages,
    ),
    Family(
        name="ontap_software_package_age_seconds",
        help="Age of the package at the moment of the scrape, 0 for a creation in the future.",
        source="GET /cluster/software/packages: create_time",
        labels=("version",),
        samples=_create_timestamps,
        is_age=True,
        while_fresh=True,
        depends_on=_known_packages,
    ),
    Family(
        name="ontap_software_package_in_use",
        help="Whether the cluster, a node or a pending update names this version (1) or none does (0).",
        source="GET /cluster/software: version, pending_version, nodes; GET /cluster: version; "
        "GET /cluster/nodes: version if /cluster/software does not name the version of every node",
        labels=("version",),
        samples=_in_use,
        while_fresh=True,
        depends_on=_known_packages_and_use,
    ),
    Family(
        name="ontap_software_update_info",
        help="What the cluster states about its software update, always 1.",
        source="GET /cluster/software: pending_version, state, version",
        labels=("pending_version", "state", "version"),
        samples=_update_info,
        while_fresh=True,
    ),
    Family(
        name="ontap_software_update_in_progress",
        help="Whether a software update is unfinished (1) or not (0).",
        source="GET /cluster/software: state",
        samples=_update_in_progress,
        while_fresh=True,
    ),
    Family(
        name="ontap_software_download_in_progress",
        help="Whether a package is being downloaded (1) or not (0).",
        source="GET /cluster/software/download: state, code",
        samples=lambda status: one(status.inventory.download_in_progress if status.inventory else None),
        while_fresh=True,
    ),
    Family(
        name="ontap_cluster_certificate_expiry_timestamp_seconds",
        help="When the certificate expires that the cluster showed last, in Unix time.",
        source="the TLS handshake",
        samples=lambda status: one(
            status.last_poll.certificate_expiry_timestamp_seconds if status.last_poll else None
        ),
    ),
    Family(
        name="ontap_cluster_clock_skew_seconds",
        help="The cluster's clock minus the exporter's.",
        source="the header Date",
        samples=lambda status: one(status.last_poll.clock_skew_seconds if status.last_poll else None),
    ),
    Family(
        name="ontap_last_poll_timestamp_seconds",
        help="End of the last poll, good or bad, in Unix time.",
        samples=lambda status: one(status.last_poll.ended_timestamp_seconds if status.last_poll else None),
    ),
    Family(
        name="ontap_last_successful_poll_timestamp_seconds",
        help="End of the last good poll, in Unix time, 0 before the first.",
        samples=lambda status: one(status.inventory_timestamp_seconds),
    ),
    Family(
        name="ontap_poll_duration_seconds",
        help="Duration of the last poll, good or bad.",
        samples=lambda status: one(status.last_poll.duration_seconds if status.last_poll else None),
    ),
    Family(
        name="ontap_poll_pages",
        help="Pages of the packages listing that the last good poll read.",
        source="GET /cluster/software/packages: _links.next",
        samples=lambda status: one(status.inventory.listing.pages if status.inventory else None),
    ),
    Family(
        name="ontap_polls_total",
        help="Polls that have ended, good or bad.",
        samples=lambda status: one(status.polls),
    ),
    Family(
        name="ontap_poll_failures_total",
        help="Failed polls by reason.",
        labels=("reason",),
        samples=lambda status: (((str(reason),), count) for reason, count in status.failures.items()),
        depends_on=lambda status: status.failures,
    ),
    Family(
        name="ontap_poll_failing",
        help="Why the last poll failed, always 1; absent if it succeeded.",
        labels=("reason",),
        samples=lambda status: (((str(status.last_failure.reason),), 1),) if status.last_failure else (),
    ),
)
"""Every metric that carries the label ``cluster`` and the cluster's configured labels."""


def update_cluster(exposition: Exposition[ClusterStatus], status: ClusterStatus) -> None:
    """Render the metrics of one cluster, under its name."""
    exposition.update(
        status.name,
        status,
        fixed=(("cluster", status.name), *status.labels),
        fresh_until=status.fresh_until_timestamp_seconds,
    )
