"""Whether a cluster may still work on a deletion that the exporter no longer follows."""

from __future__ import annotations

from exporter.cleanup.delete.replies import Meaning, read_reply
from exporter.cleanup.records import Deletion
from exporter.ontap.access import ClusterAccess
from exporter.ontap.errors import ApiError, OntapError
from exporter.ontap.requests.jobs import find_job, read_job

COUNTS_AS_RUNNING_SECONDS = 86_400.0
"""A deletion that was given up counts as running for this long, unless its job is known to be over."""


async def may_still_run(access: ClusterAccess, deletion: Deletion, *, now: float) -> bool:
    """Say whether a deletion that was given up may still be running.

    If that cannot be read (a role may hide jobs), it counts as running for a day.

    Args:
        access: the cluster.
        deletion: ended as timeout, or as denied after its job was known.
        now: Unix seconds.
    """
    since = deletion.ended_timestamp_seconds or deletion.intended_timestamp_seconds
    is_recent = now - since < COUNTS_AS_RUNNING_SECONDS
    try:
        if deletion.job_uuid is None:
            conversation = find_job(deletion.version, query=access.query, earlier=deletion.earlier_job_uuids)
            search = await access.ask(conversation)
            return search.unfinished or (search.open and is_recent)
        return not (await access.ask(read_job(deletion.job_uuid))).over
    except OntapError as exc:
        is_forgotten = isinstance(exc, ApiError) and read_reply(exc).meaning is Meaning.GONE
        return is_recent and not (is_forgotten and deletion.job_uuid is not None)
