"""What a simulated cluster states of itself: its nodes, versions and states, in the API's words.

Source: https://docs.netapp.com/us-en/ontap-restapi/get-cluster-software.html
"""

import re
import uuid
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

_RELEASE = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")


class UpdateState(StrEnum):
    """Where a software update stands, in the API's words."""

    IN_PROGRESS = "in_progress"
    """It works."""
    WAITING = "waiting"
    """It waits to go on."""
    PAUSED_BY_USER = "paused_by_user"
    """An operator paused it."""
    PAUSED_ON_ERROR = "paused_on_error"
    """An error paused it."""
    PAUSE_PENDING = "pause_pending"
    """It is about to pause."""
    CANCEL_PENDING = "cancel_pending"
    """It is about to be cancelled."""
    COMPLETED = "completed"
    """It ended well."""
    CANCELED = "canceled"
    """It was cancelled."""
    FAILED = "failed"
    """It ended badly."""

    @property
    def finished(self) -> bool:
        """Whether the update is over."""
        return self in (UpdateState.COMPLETED, UpdateState.CANCELED, UpdateState.FAILED)


class DownloadState(StrEnum):
    """Where a package download stands, in the API's words."""

    NOT_STARTED = "not_started"
    """None was ever started."""
    RUNNING = "running"
    """It works."""
    SUCCESS = "success"
    """It ended well."""
    FAILURE = "failure"
    """It ended badly."""


@dataclass(frozen=True, slots=True)
class Node:
    """One node of a cluster.

    Attributes:
        name: Its name.
        version: The ONTAP version that it runs.
        state: Its state, in the API's words.
    """

    name: str
    version: str
    state: str = "up"

    @property
    def uuid(self) -> str:
        """Its identity, made from its name."""
        return stable_uuid(f"node/{self.name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """A package that was really deleted.

    Attributes:
        version: Its version.
        time: When, in simulated time.
        job_uuid: The job that deleted it.
        by_collection: Whether a DELETE on the whole collection did it.
    """

    version: str
    time: datetime
    job_uuid: str
    by_collection: bool = False


def stable_uuid(name: str) -> str:
    """A UUID that is always the same for a name."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, name))


def version_document(version: str) -> dict[str, object]:
    """A version as `GET /api/cluster` and `/api/cluster/nodes` write it."""
    document: dict[str, object] = {"full": f"NetApp Release {version}: Sun Feb 04 19:00:00 UTC 2024"}
    release = _RELEASE.match(version)
    if release is not None:
        document |= {
            "generation": int(release[1]),
            "major": int(release[2]),
            "minor": int(release[3] or 0),
        }
    return document
