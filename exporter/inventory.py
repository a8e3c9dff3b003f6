"""The result of one good poll of one cluster."""

from __future__ import annotations

from dataclasses import dataclass

from exporter.ontap.facts import ClusterIdentity
from exporter.ontap.listing import Listing, Package


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """A whole listing and the facts that could be read.

    Attributes:
        listing: the packages of the repository.
        identity: None if it could not be read.
        versions_in_use: every version that the cluster, a node or a pending update names; None if one of them
            could not be read.
    """

    listing: Listing
    identity: ClusterIdentity | None
    versions_in_use: frozenset[str] | None

    def in_use(self, package: Package) -> bool | None:
        """Say whether the package's version is in use; None if that is not known."""
        return None if self.versions_in_use is None else package.version in self.versions_in_use
