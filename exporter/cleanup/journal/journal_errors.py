"""What can go wrong with the journal.

::

    JournalError            give up: nothing may be deleted without a journal
    └── JournalInUseError   fix the configuration: one process at a time per state

Exceptions of other libraries are translated here, in :func:`translated`, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError, SQLAlchemyError


class JournalError(Exception):
    """The journal cannot be opened, read or written; names the place and the reason, never a password."""


class JournalInUseError(JournalError):
    """Another process, or this one, holds the journal already."""


class Refused(Exception):  # noqa: N818 - reads as what happened
    """What is recorded does not allow it; never leaves the journal but as a JournalError."""


@contextmanager
def translated(place: object, doing: str, *others: type[Exception]) -> Iterator[None]:
    """Turn what the libraries raise into a JournalError.

    Args:
        place: where the journal is, as it may be shown.
        doing: what fails, to follow "cannot".
        others: further exceptions to translate.

    Raises:
        JournalError: something was raised.
    """
    # A ValueError is a word in a table that this version does not know.
    foreign: tuple[type[Exception], ...] = (
        Refused,
        SQLAlchemyError,
        CommandError,
        OSError,
        ValueError,
        *others,
    )
    try:
        yield
    except foreign as exc:
        raise JournalError(f"{place}: cannot {doing}: {_reason(exc)}") from exc


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
