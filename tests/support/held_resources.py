"""What a process holds: memory, descriptors, threads, tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import status_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a process holds at one moment."""

    mib: float
    descriptors: int
    threads: int
    tasks: int


def held_by(pid: int, lines: Sequence[str]) -> Held:
    """Return what a daemon holds now, which writes its tasks as :mod:`support.hasty_daemon` does on demand.

    Args:
        pid: of its process.
        lines: what it has written.
    """
    status = status_of(pid)
    counted = next((line for line in reversed(lines) if line.startswith("tasks=")), "tasks=0")
    return Held(
        mib=int(status["VmRSS"].split()[0]) / 1024,
        descriptors=sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()),
        threads=int(status["Threads"]),
        tasks=int(counted.partition("=")[2]),
    )
