"""What a cluster's jobs tell of a deletion."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from http import HTTPStatus

from exporter.cleanup.preflight import DecisionImpossibleError
from exporter.cleanup.replies import Diagnosis, Meaning, read_reply
from exporter.ontap.access import ClusterAccess
from exporter.ontap.errors import ApiError, BadResponse, Forbidden, OntapError, Unauthorized
from exporter.ontap.jobs import Job, JobSearch, find_job, read_job


@dataclass(slots=True)
class Watched:
    """A job that is followed: its uuid while it can be asked for, and what ended that."""

    uuid: str | None
    end: Diagnosis | None = None


class ClusterJobs:
    """Asks a cluster for its jobs.

    Args:
        access: the cluster.
    """

    def __init__(self, access: ClusterAccess) -> None:
        self._access = access

    async def read(self, watched: Watched) -> Job | None:
        """Read a job once; None where it could not be read, with the end noted where that is one."""
        if watched.uuid is None:
            return None
        try:
            return await self._access.ask(read_job(watched.uuid))
        except Unauthorized as exc:
            watched.end = read_reply(exc)
        except Forbidden:
            watched.uuid = None  # the role hides jobs: the listing tells
        except ApiError as exc:
            if read_reply(exc).meaning is Meaning.GONE:
                message = "the job is no longer kept, and the package is still there"
                watched.end = Diagnosis(meaning=Meaning.UNKNOWN, code="", message=message)
        except OntapError:
            pass
        return None

    async def find(self, version: str, *, earlier: Collection[str]) -> JobSearch | None:
        """Look for the job that deletes a version; None where the jobs cannot be read.

        Args:
            version: the package's version.
            earlier: the jobs of earlier deletions, which are left out.
        """
        try:
            return await self._access.ask(
                find_job(
                    version,
                    endpoint=self._access.config.endpoint,
                    earlier=earlier,
                )
            )
        except OntapError:
            return None

    async def expect_none(self, version: str) -> None:
        """Make sure that no job is deleting a version yet, be it one that the journal does not know.

        Raises:
            DecisionImpossibleError: there is one, or the jobs cannot be read though the role allows it.
        """
        try:
            search = await self._access.ask(find_job(version, endpoint=self._access.config.endpoint))
        except OntapError as exc:
            if _hides_jobs(exc):
                return
            raise DecisionImpossibleError(f"the cluster's jobs could not be read: {exc}") from exc
        if search.unfinished:
            raise DecisionImpossibleError(f"a job is deleting {version} already")


def _hides_jobs(error: OntapError) -> bool:
    """Say whether a cluster's jobs can never be listed: the role forbids it, or nothing is at their path."""
    if isinstance(error, ApiError | BadResponse):
        return error.status == HTTPStatus.NOT_FOUND
    return isinstance(error, Forbidden)
