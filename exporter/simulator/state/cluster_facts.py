"""What a simulated cluster holds and states about itself, in the API's words.

Source: https://docs.netapp.com/us-en/ontap-restapi/get-cluster-software.html
"""

import uuid
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, TypeAlias

ABSENT: Final = object()
"""The value of a field that the record does not have."""
DEFAULT_CREATE_TIME = "2019-02-04T19:00:00+00:00"


@dataclass(frozen=True, slots=True)
class Package:
    """One package of a repository.

    Attributes:
        version: None makes a record with `"version": null`.
        create_time: Any JSON value, given as it is; a datetime, written as ONTAP does; or ABSENT.
    """

    version: str | None
    create_time: object = DEFAULT_CREATE_TIME

    @property
    def record(self) -> dict[str, object]:
        """The record with all its fields.

        Source: https://docs.netapp.com/us-en/ontap-restapi/get-cluster-software-packages.html
        """
        if self.create_time is ABSENT:
            return {"version": self.version}
        if isinstance(self.create_time, datetime):
            return {"version": self.version, "create_time": self.create_time.isoformat(timespec="seconds")}
        return {"version": self.version, "create_time": self.create_time}


PackageLike: TypeAlias = Package | str | tuple[str, object]
"""A package, or its version, or its version and its create_time."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """A package that was really deleted, and the job that did it."""

    version: str
    job_uuid: str


def stable_uuid(name: str) -> str:
    """Return the UUID for a name, always the same."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, name))
