"""How a deletion can end, and why a run can fail."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """How a deletion ended: the ``outcome`` label of ``ontap_cleanup_jobs_total``."""

    SUCCESS = "success"  # the package is gone, and we deleted it
    FAILURE = "failure"  # ONTAP refused, or the job failed
    ALREADY_GONE = "already_gone"  # somebody else had deleted it
    BUSY = "busy"  # not possible for longer than retry_busy_for, or stopped while it waited
    TIMEOUT = "timeout"  # the job was not over after job_timeout and the package is still listed
    DENIED = "denied"  # 401 or 403
    PROTECTED = "protected"  # it came into use after the plan, or the run was stopped: nothing was sent


class RunFailure(StrEnum):
    """Why a run failed, in a word."""

    UNREADABLE = "unreadable"  # listing, facts or jobs could not be read, or may not be now (Retry-After)
    DENIED = "denied"  # 401 or 403
    EARLIER_DELETION = "earlier_deletion"  # an earlier deletion may still be going on
    DELETION_FAILED = "deletion_failed"  # a deletion ended as failure, timeout or busy
    REFUSED = "refused"  # the journal refused: the policy is paused, or the day's deletions are used up
    STOPPED = "stopped"  # the kill switch, a reload or a lost lease stopped it
    INTERRUPTED = "interrupted"  # the program ended during the run
    UNIDENTIFIED = "unidentified"  # the cluster does not say who it is, so that no run was made
    INTERNAL_ERROR = "internal_error"  # a bug of ours: no run is made there until its configuration changes
