"""The bytes of a configuration file, and the signature by which a change of it is noticed."""

from __future__ import annotations

import os
import select
import stat
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

LARGEST_BYTES: Final = 64 * 1024 * 1024
PATIENCE_SECONDS: Final = 10.0
_CHUNK_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What differs when a file has changed: of what a path leads to, through every symbolic link.

    Kubernetes changes the files of a ConfigMap by pointing one link elsewhere: then the inode differs.
    """

    device: int = 0
    inode: int = 0
    size: int = 0
    modified_ns: int = 0
    changed_ns: int = 0
    """Of the inode: it differs too where a tool sets the time of modification back, or the mode changes."""
    failure: int = 0
    """The ``errno`` where the file could not be looked at."""

    @property
    def identity(self) -> tuple[int, int] | None:
        """The same for two paths to one file."""
        return None if self.failure else (self.device, self.inode)


def sign(path: Path) -> Signature:
    """Return the signature of what ``path`` leads to."""
    try:
        status = path.stat()
    except OSError as error:
        return Signature(failure=error.errno or -1)
    return Signature(
        device=status.st_dev,
        inode=status.st_ino,
        size=status.st_size,
        modified_ns=status.st_mtime_ns,
        changed_ns=status.st_ctime_ns,
    )


def digest(content: bytes) -> bytes:
    """Return what tells one content from another."""
    return sha256(content).digest()


class ContentError(Exception):
    """A file has no content that can be used; the text says why."""


class UnreadableError(ContentError):
    """A file could not be read, which may be over at the next attempt although the file stays as it is."""


def read_content(path: Path, *, may_be_stream: bool, patience_seconds: float = PATIENCE_SECONDS) -> bytes:
    """Read a whole file, never waiting without end.

    Where ``may_be_stream``, ``path`` may also be a pipe: what a shell makes of ``<(command)``.

    Raises:
        UnreadableError: the operating system says so, or a pipe stays silent for ``patience_seconds``.
        ContentError: larger than :data:`LARGEST_BYTES`, or no regular file where it has to be one.
    """
    try:
        # Opening is not harmless: it rewinds a tape, and starts a watchdog.
        if not may_be_stream:
            _check_regular(path.stat().st_mode)
        # A pipe without a writer would block at once, before anything could be known of it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise UnreadableError(f"cannot be read: {error.strerror}") from None
    except ValueError:
        raise ContentError("cannot be read: no file can have this name") from None
    try:
        return _read(descriptor, may_be_stream=may_be_stream, patience_seconds=patience_seconds)
    except OSError as error:
        raise UnreadableError(f"cannot be read: {error.strerror}") from None
    finally:
        os.close(descriptor)


def _check_regular(mode: int) -> None:
    # Of a folder, reading tells better what is wrong.
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise ContentError("not a regular file")


def _read(descriptor: int, *, may_be_stream: bool, patience_seconds: float) -> bytes:
    if not may_be_stream:
        _check_regular(os.fstat(descriptor).st_mode)
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    content = bytearray()
    while True:
        try:
            chunk = os.read(descriptor, _CHUNK_BYTES)
        except BlockingIOError:
            if not poll.poll(patience_seconds * 1000):
                raise UnreadableError(f"cannot be read: nothing came for {patience_seconds:g} s") from None
            continue
        content += chunk
        if not chunk:
            return bytes(content)
        if len(content) > LARGEST_BYTES:
            raise ContentError(f"larger than {LARGEST_BYTES // 1024 // 1024} MiB")
