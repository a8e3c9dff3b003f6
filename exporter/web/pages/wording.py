"""What the words of the API mean for a person, and what to do about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from exporter.cleanup.decide.plan import VerdictReason
from exporter.cleanup.outcomes import Outcome, RunFailure
from exporter.cleanup.records import Phase
from exporter.ontap.errors import Reason

FAILURES: Final[Mapping[str, str]] = {
    Reason.TIMEOUT: "did not answer in time",
    Reason.CONNECTION: "cannot be reached",
    Reason.TLS: "its certificate is not accepted",
    Reason.UNAUTHORIZED: "refuses the login",
    Reason.FORBIDDEN: "the account may not read packages",
    Reason.RATE_LIMITED: "asks for fewer requests",
    Reason.API_ERROR: "ONTAP reports an error",
    Reason.BAD_RESPONSE: "gives an answer that is not ONTAP's",
    Reason.INCOMPLETE: "its listing is incomplete",
    Reason.INTERNAL_ERROR: "a bug of the exporter",
}
"""Why a poll failed."""

FAILURE_ADVICE: Final[Mapping[str, str]] = {
    Reason.TIMEOUT: "Look at the cluster's management interface and the way there. Where polls really take "
    "this long, raise poll_timeout.",
    Reason.CONNECTION: "Check address, port and firewall, and whether the management interface is up.",
    Reason.TLS: "Give the authority that signed the cluster's certificate as tls_config.ca_file, and as "
    "server_name a name that is in the certificate.",
    Reason.UNAUTHORIZED: "Check user name and password. A refused password is sent again only after growing "
    "pauses, so that the account is not locked; a new password is tried at once.",
    Reason.FORBIDDEN: "Give the account's role read access to /api/cluster.",
    Reason.RATE_LIMITED: "Raise poll_interval, or find out who else asks the cluster so often.",
    Reason.API_ERROR: "Look up the code in ONTAP's documentation; ONTAP's event log says more.",
    Reason.BAD_RESPONSE: "Something else may answer at this address, such as a proxy or a login page.",
    Reason.INCOMPLETE: "Raise return_timeout, and poll_timeout with it. If the message names a loop or "
    "another host, look for a proxy that rewrites links.",
    Reason.INTERNAL_ERROR: "Please report it, with the lines of the log.",
}
"""What to do about failed polls."""

OUTCOMES: Final[Mapping[str, str]] = {
    Outcome.SUCCESS: "deleted",
    Outcome.FAILURE: "failed",
    Outcome.ALREADY_GONE: "was gone already",
    Outcome.BUSY: "repository stayed busy",
    Outcome.TIMEOUT: "job did not end in time",
    Outcome.DENIED: "not permitted",
    Outcome.PROTECTED: "not sent: a reason to keep it appeared, or the run was stopped",
}
"""How a deletion ended."""

PHASES: Final[Mapping[str, str]] = {
    Phase.INTENDED: "being sent",
    Phase.WAITING: "waits for a busy repository",
    Phase.FOLLOWED: "its job is running",
    Phase.ENDED: "ended",
}
"""How far a deletion has come."""

RUN_FAILURES: Final[Mapping[str, str]] = {
    RunFailure.UNREADABLE: "the cluster could not be read in full",
    RunFailure.DENIED: "the account may not do it",
    RunFailure.EARLIER_DELETION: "an earlier deletion may still be going on",
    RunFailure.DELETION_FAILED: "a deletion did not succeed",
    RunFailure.REFUSED: "the policy is paused, or the day's deletions are used up",
    RunFailure.STOPPED: "the kill switch, a reload or a lost lease stopped it",
    RunFailure.INTERRUPTED: "the program ended during the run",
    RunFailure.UNIDENTIFIED: "the cluster does not say who it is",
    RunFailure.INTERNAL_ERROR: "a bug of the exporter",
}
"""Why a run failed."""

RUN_ADVICE: Final[Mapping[str, str]] = {
    RunFailure.UNREADABLE: "Nothing more was deleted, and the next run tries again. See why the cluster "
    "cannot be read.",
    RunFailure.DENIED: "Give the account's role the right to delete packages and to read jobs.",
    RunFailure.EARLIER_DELETION: "Nothing more is deleted there until that one is known to be over.",
    RunFailure.DELETION_FAILED: "Open the run: every deletion has ONTAP's code and message.",
    RunFailure.REFUSED: "Open the run for the reason; a reload resumes a paused policy.",
    RunFailure.STOPPED: "The next run goes on.",
    RunFailure.INTERRUPTED: "The next start has brought its deletions to their end; the next run goes on.",
    RunFailure.UNIDENTIFIED: "Give the account's role read access to /api/cluster: without a uuid nothing is "
    "deleted.",
    RunFailure.INTERNAL_ERROR: "Please report it, with the lines of the log. A reload that changes the "
    "cluster's configuration, or a restart, begins again.",
}
"""What to do about a failed run."""

VERDICT_REASONS: Final[Mapping[str, str]] = {
    VerdictReason.UNSAFE_NAME: "name is not safe in a URL",
    VerdictReason.FACTS_UNKNOWN: "what the cluster runs is not known",
    VerdictReason.UPDATE_UNFINISHED: "an update is unfinished",
    VerdictReason.DOWNLOAD_RUNNING: "a download is running",
    VerdictReason.IN_USE: "in use",
    VerdictReason.BEING_DELETED: "being deleted already",
    VerdictReason.NOT_INCLUDED: "not included",
    VerdictReason.EXCLUDED: "excluded",
    VerdictReason.NO_CONDITION: "no condition",
    VerdictReason.RELEASE_UNKNOWN: "release is not known",
    VerdictReason.AMONG_NEWEST: "among the newest",
    VerdictReason.AGE_UNKNOWN: "age is not known",
    VerdictReason.CLOCK_SKEWED: "clocks differ",
    VerdictReason.TOO_YOUNG: "too young",
    VerdictReason.SEEN_UNKNOWN: "unknown how long it has been listed",
    VerdictReason.SEEN_TOO_SHORTLY: "not listed for long enough",
    VerdictReason.NOT_APPROVED: "not approved",
    VerdictReason.OVER_LIMIT: "waits for a later run",
    VerdictReason.RETIRED: "retired by the policy",
}
"""Why a package gets its verdict."""
