"""Files that cannot be opened for a while, as on a mount that hangs."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class HeldFile:
    """A file that nobody else can open now.

    Attributes:
        descriptor: of the file, with a lease of the kernel's.
    """

    descriptor: int

    async def is_waited_for(self) -> bool:
        """Say whether somebody hangs while he opens it."""
        return fcntl.fcntl(self.descriptor, fcntl.F_GETLEASE) != fcntl.F_WRLCK


@contextmanager
def held(path: Path) -> Iterator[HeldFile]:
    """Let everybody else who opens the file, which is made if it is missing, hang until the context ends.

    The kernel lets them go on after 45 s all the same, by its default.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)  # SIGIO would end this process
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        yield HeldFile(descriptor)
    finally:
        os.close(descriptor)
