"""Measures the CPU time of a poll: of the exporter, of a bare loop and of NetApp's library."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from statistics import median

from benchmarks.fake_fleet import FakeFleet
from benchmarks.processes import START_SECONDS, NotMeasuredError, Process, python
from benchmarks.program import program

Reading = tuple[float, float]
"""Polls and CPU seconds so far."""

EXPORTER = "exporter"
BARE = "bare aiohttp"
BARE_UVLOOP = "bare aiohttp on uvloop"
SDK = "NetApp's library"
FACTS_EVERY = 3
ENOUGH_POLLS = 4
"""The least number of polls to measure; NetApp's library finishes as many in a window on a quiet machine."""


def measure(
    fleet: FakeFleet, *, clusters: int, sdk_clusters: int, interval_seconds: int, windows: int
) -> dict[str, float]:
    """Run all four at the same time; return the CPU milliseconds of a poll, the median of the windows.

    Args:
        fleet: serves the clusters.
        clusters: how many the exporter and the loops poll.
        sdk_clusters: how many NetApp's library polls; fewer, because it needs most of the CPU.
        interval_seconds: the interval between polls of a cluster.
        windows: how many times to measure, each time for one interval.

    Raises:
        NotMeasuredError: polls failed, or there were none.
    """
    config = fleet.configuration(clusters=clusters, poll_interval_seconds=interval_seconds)
    common = (f"--port={fleet.port}", f"--interval={interval_seconds}", f"--facts-every={FACTS_EVERY}")
    loops = (*common, f"--ca-file={fleet.ca_file}", f"--clusters={clusters}")
    with ExitStack() as stack:
        exporter = stack.enter_context(program(config))
        exporter.until_ready()
        readers = {
            EXPORTER: exporter.polls_and_cpu,
            BARE: stack.enter_context(_progress_of("benchmarks.bare_loop", *loops)),
            BARE_UVLOOP: stack.enter_context(_progress_of("benchmarks.bare_loop", *loops, "--uvloop")),
            SDK: stack.enter_context(
                _progress_of("benchmarks.sdk_pool", *common, f"--clusters={sdk_clusters}")
            ),
        }
        costs: dict[str, list[float]] = {name: [] for name in readers}
        _wait(readers[BARE], interval_seconds)  # until all of them poll steadily
        before = {name: read() for name, read in readers.items()}
        for _ in range(windows):
            _wait(readers[BARE], interval_seconds - 3)  # and three to read
            after = {name: _enough(read, before[name][0]) for name, read in readers.items()}
            for name in readers:
                polls = after[name][0] - before[name][0]
                costs[name].append(1000 * (after[name][1] - before[name][1]) / polls)
            before = after
        exporter.refuse_failed_polls()
    return {name: median(found) for name, found in costs.items()}


def _wait(reader: Callable[[], Reading], seconds: int) -> None:
    for _ in range(seconds):
        reader()


def _enough(read: Callable[[], Reading], polls_before: float) -> Reading:
    """Wait until enough polls have finished, which takes longer on a busy machine, and return the reading.

    Raises:
        NotMeasuredError: too few polls finished in time.
    """
    deadline = time.monotonic() + START_SECONDS
    while (reading := read())[0] < polls_before + ENOUGH_POLLS:
        if time.monotonic() > deadline:
            raise NotMeasuredError(
                f"fewer than {ENOUGH_POLLS} polls were finished within {START_SECONDS:.0f} s"
            )
    return reading


@contextlib.contextmanager
def _progress_of(module: str, *arguments: str) -> Iterator[Callable[[], Reading]]:
    """Run a module that prints its progress every second."""
    with python(module, *arguments) as process:
        process.line_with(r"^(\d+) ")
        yield lambda: _next_reading(process)


def _next_reading(process: Process) -> Reading:
    while not (match := re.fullmatch(r"(\d+) ([\d.]+)", process.next_line())):
        pass  # the traceback of a process that is about to end
    return float(match[1]), float(match[2])
