"""Processes under measurement: what they print, the memory they hold and the CPU time they take."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
START_SECONDS = 120.0
_LAST_LINES = 20
_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


class NotMeasuredError(Exception):
    """A figure could not be measured, so it is neither good nor bad; the message says why."""


def status_of(pid: int) -> dict[str, str]:
    """Return the fields of ``/proc/PID/status``; memory is in kB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


@dataclass(slots=True)
class Process:
    """A running process, and the lines that it has written so far."""

    popen: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    _news: threading.Condition = field(default_factory=threading.Condition)

    @property
    def pid(self) -> int:
        """The process's number."""
        return self.popen.pid

    def cpu_seconds(self) -> float:
        """Return the CPU time that it has taken, in user mode and in the kernel."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _CLOCK_TICKS

    def pss_bytes(self) -> int:
        """Return its proportional set size: shared memory is divided among the processes that share it."""
        match = re.search(
            r"^Pss:\s+(\d+) kB", Path(f"/proc/{self.pid}/smaps_rollup").read_text(), re.MULTILINE
        )
        if match is None:
            raise SystemExit("the kernel does not report the proportional set size")
        return int(match[1]) * 1024

    def line_with(self, pattern: str, *, within_seconds: float = START_SECONDS) -> str:
        """Wait for a line that holds the pattern; return its group.

        Raises:
            NotMeasuredError: the process wrote none before it ended, or in time.
        """
        deadline = time.monotonic() + within_seconds
        with self._news:
            while time.monotonic() < deadline:
                for line in self.lines:
                    if match := re.search(pattern, line):
                        return match[1]
                if self.popen.poll() is not None:
                    break
                self._news.wait(0.2)
        raise NotMeasuredError(f"the process wrote no line that holds {pattern}:\n" + "\n".join(self.lines))

    def next_line(self) -> str:
        """Wait for a line that is not written yet.

        Raises:
            NotMeasuredError: the process has ended, or is silent.
        """
        deadline = time.monotonic() + START_SECONDS
        with self._news:
            seen = len(self.lines)
            while len(self.lines) == seen:
                if self.popen.poll() is not None:
                    raise NotMeasuredError("a process ended: " + "\n".join(self.lines[-_LAST_LINES:]))
                if time.monotonic() > deadline:
                    raise NotMeasuredError(f"a process wrote nothing for {START_SECONDS:.0f} s")
                self._news.wait(0.2)
            return self.lines[-1]

    def collect(self) -> None:
        """Read its lines until it ends."""
        for line in self.popen.stdout or ():
            with self._news:
                self.lines.append(line.rstrip("\n"))
                self._news.notify_all()


@contextlib.contextmanager
def python(module: str, *arguments: str) -> Iterator[Process]:
    """Run a module as a process of its own for as long as the context lasts."""
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT
    ) as popen:
        process = Process(popen)
        reader = threading.Thread(target=process.collect, daemon=True)
        reader.start()
        try:
            yield process
        finally:
            popen.terminate()
            reader.join()
