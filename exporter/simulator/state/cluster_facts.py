"""What a simulated cluster states about itself, in the API's words.

Source: https://docs.netapp.com/us-en/ontap-restapi/get-cluster-software.html
"""

import uuid
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class UpdateState(StrEnum):
    """The states of a software update."""

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


FINISHED_UPDATES = frozenset({UpdateState.COMPLETED, UpdateState.CANCELED, UpdateState.FAILED})


class DownloadState(StrEnum):
    """The states of a package download."""

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
    """One node of a cluster, with the ONTAP version that it runs; it is named only while the node is up."""

    name: str
    version: str
    state: str = "up"

    @property
    def is_up(self) -> bool:
        """Whether it is up."""
        return self.state == "up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """A package that was really deleted, when in simulated time, and the job that did it."""

    version: str
    time: datetime
    job_uuid: str


def stable_uuid(name: str) -> str:
    """Return the UUID for a name, always the same."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, name))
