"""What can go wrong with the journal.

::

    JournalError            this call failed; nothing may be deleted meanwhile, and a later call may work
    ├── LeaseLostError      give the cluster up: another process cleans it; nothing was written
    ├── StepRefusedError    what is recorded does not allow the step; nothing was written
    └── SchemaChangedError  close the journal: its tables are another version's; nothing was written

Exceptions of other libraries are translated here, in :func:`translated`, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError


class JournalError(Exception):
    """The journal cannot be opened, read or written; names the database and the reason, never a password."""


class LeaseLostError(JournalError):
    """The lease has been taken over by another process, or has expired."""


class StepRefusedError(JournalError):
    """What is recorded does not allow the step; the message says what."""


class SchemaChangedError(JournalError):
    """Another version of this program has changed the tables while the journal was open."""


@contextmanager
def translated(database: object, doing: str) -> Iterator[None]:
    """Turn whatever the libraries raise into a JournalError.

    Malformed bytes of the protocol, or a text in a column of numbers, surface as all kinds of exceptions;
    none of them may end more than the call. ``database`` is displayed; ``doing`` follows "cannot".
    """
    try:
        yield
    except JournalError:
        raise
    except Exception as exc:
        raise JournalError(f"{database}: cannot {doing}: {_reason(exc)}") from exc


def _reason(exc: Exception) -> str:
    """Say in one line why, in the database's own words if it has any."""
    cause: BaseException = exc
    if isinstance(exc, DBAPIError) and exc.orig is not None:
        cause = exc.orig.__cause__ or exc.orig
    if isinstance(cause, TimeoutError):
        return "no answer in time"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror  # without the error's number and the path, which is named already
    lines = str(cause).splitlines()
    return lines[0] if lines else type(cause).__name__
