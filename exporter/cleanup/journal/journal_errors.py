"""What can go wrong with the journal.

::

    JournalError            this call failed; nothing may be deleted meanwhile, and a later call may work
    ├── JournalInUseError   fix the configuration: a SQLite journal has one process at a time
    ├── LeaseLostError      give the cluster up: another process cleans it; nothing was written
    └── StepRefusedError    what is recorded does not allow the step; nothing was written

Exceptions of other libraries are translated here, in :func:`translated`, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from sqlalchemy.exc import DBAPIError


class Refusal(StrEnum):
    """Why a step is refused."""

    KILL_SWITCH = "kill_switch"  # the kill switch is engaged
    POLICY_PAUSED = "policy_paused"  # its deletions kept failing
    DAILY_LIMIT = "daily_limit"  # max_deletes_per_day is reached
    OTHER_UNENDED = "other_unended"  # another deletion on the cluster has no outcome yet
    RUN_OVER = "run_over"  # the run has ended, is a dry one, or is not there
    WRONG_PHASE = "wrong_phase"  # the deletion is in another phase, or is not there


class JournalError(Exception):
    """The journal cannot be opened, read or written; names the database and the reason, never a password."""


class JournalInUseError(JournalError):
    """Another process, or this one, holds the journal already."""


class LeaseLostError(JournalError):
    """The lease has been taken over by another process, or has expired."""


class StepRefusedError(JournalError):
    """What is recorded does not allow the step.

    Attributes:
        refusal: why.
    """

    def __init__(self, message: str, *, refusal: Refusal) -> None:
        super().__init__(message)
        self.refusal = refusal


@contextmanager
def translated(database: object, doing: str) -> Iterator[None]:
    """Turn whatever the libraries raise into a JournalError.

    Malformed bytes of the protocol, or a text in a column of numbers, surface as all kinds of exceptions;
    none of them may end more than the call.

    Args:
        database: the database, as it may be displayed.
        doing: what fails, to follow "cannot".

    Raises:
        JournalError: something was raised.
    """
    try:
        yield
    except JournalError:
        raise
    except Exception as exc:
        raise JournalError(f"{database}: cannot {doing}: {_reason(exc)}") from exc


def _reason(exc: Exception) -> str:
    """Say in one line why, in the database's own words where it has any."""
    cause: BaseException = exc
    if isinstance(exc, DBAPIError) and exc.orig is not None:
        cause = exc.orig.__cause__ or exc.orig
    if isinstance(cause, TimeoutError):
        return "no answer in time"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror  # without the error's number and the path, which is named already
    lines = str(cause).splitlines()
    return lines[0] if lines else type(cause).__name__
