"""The result of one good poll of one cluster. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

from exporter.ontap.requests.facts import IDLE_DOWNLOAD_STATES, ClusterIdentity, SoftwareFacts
from exporter.ontap.requests.listing import Listing, Package
from exporter.ontap.requests.versions import in_use


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """A whole listing and the facts that could be read.

    Attributes:
        listing: the packages of the repository.
        identity: None if it could not be read.
        versions_in_use: every version that the cluster, a node or a pending update names; None if one of them
            could not be read.
        software: the versions and the software update; None if they could not be read.
        download_state: ONTAP's word for the state of the package download; None if it could not be read.
    """

    listing: Listing
    identity: ClusterIdentity | None
    versions_in_use: frozenset[str] | None
    software: SoftwareFacts | None = None
    download_state: str | None = None

    @property
    def download_in_progress(self) -> bool | None:
        """Whether a package is being downloaded; None if that is not known."""
        return None if self.download_state is None else self.download_state not in IDLE_DOWNLOAD_STATES

    def in_use(self, package: Package) -> bool | None:
        """Say whether the package's version is in use; None if that is not known."""
        return None if self.versions_in_use is None else in_use(self.versions_in_use).have(package.version)
