"""Runs the program in a pseudo-terminal, as a person sees it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_OF_OTHER_TERMINALS = frozenset({"COLUMNS", "LINES", "NO_COLOR", "COLORTERM", "FORCE_COLOR"})
_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a program has written to a terminal, and its exit code."""

    returncode: int
    raw: str

    @property
    def text(self) -> str:
        """What it has written, without colours and movements of the cursor."""
        return _SEQUENCE.sub("", self.raw)

    @property
    def colours(self) -> set[str]:
        """The sequences that set a colour or a style."""
        return {found for found in _SEQUENCE.findall(self.raw) if found.endswith("m")}


async def in_terminal(
    *arguments: str, cwd: Path, columns: int = 80, environ: Mapping[str, str] | None = None
) -> Shown:
    """Run a command that ends by itself in a terminal of its own, which shows both of its outputs."""
    return await asyncio.to_thread(_run, arguments, cwd, columns, environ or {})


def _run(arguments: tuple[str, ...], cwd: Path, columns: int, environ: Mapping[str, str]) -> Shown:
    ours, theirs = pty.openpty()
    inherited = {name: value for name, value in os.environ.items() if name not in _OF_OTHER_TERMINALS}
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "exporter", *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=cwd,
        env={**inherited, "TERM": "xterm-256color", **environ},
    )
    os.close(theirs)
    content = bytearray()
    with os.fdopen(ours, "rb", buffering=0) as terminal, process:
        while True:
            try:
                chunk = terminal.read(65_536)
            except OSError:  # what Linux says once nobody has the terminal open any more
                break
            content += chunk
    return Shown(returncode=process.returncode, raw=content.decode().replace("\r\n", "\n"))
