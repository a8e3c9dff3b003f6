"""Measures fleets of several sizes: memory, CPU time, delays, start, scrapes, stalls of the event loop."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median, quantiles

from benchmarks.fake_fleet import PACKAGES, FakeFleet
from benchmarks.program import Program, program
from exporter.web.answers import SHARED_SECONDS

_MIB = 2**20
_SLEEP_SECONDS = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """What one fleet cost.

    Attributes:
        clusters: how many.
        listening_seconds: from the program's start until it listened.
        ready_seconds: from the program's start until every cluster had been polled once.
        pss_bytes: memory once polls and scrapes have gone on for a while; the largest that was seen.
        cpu_share: of one core, taken by steady polling.
        poll_cpu_ms: CPU time of a poll.
        delay_p99_seconds: how late polls started.
        samples: of a scrape.
        scrape_seconds: how long a scrape took its client, compressed; the median.
        longest_lag_seconds: the longest lag of the event loop in the last minute or two, by its own metric.
        longest_stall_seconds: the longest that another request had to wait during a scrape; the median.
        machine_delay_seconds: the longest that a thread which was due waited for the machine: its noise.
        scrape_core_share: of a core, that the machine gave the program during scrapes; 1 if it had all of it.
    """

    clusters: int
    listening_seconds: float
    ready_seconds: float
    pss_bytes: int
    cpu_share: float
    poll_cpu_ms: float
    delay_p99_seconds: float
    samples: int
    scrape_seconds: float
    longest_lag_seconds: float
    longest_stall_seconds: float
    machine_delay_seconds: float
    scrape_core_share: float

    def __str__(self) -> str:
        """Write it for people."""
        return (
            f"{self.clusters:6} clusters: listening after {self.listening_seconds:.1f} s, all polled after "
            f"{self.ready_seconds:.1f} s; {self.pss_bytes / _MIB:.0f} MiB; "
            f"{100 * self.cpu_share:.1f} % of a core, {self.poll_cpu_ms:.2f} ms a poll, p99 of the delay "
            f"{self.delay_p99_seconds:.3f} s; scrape of {self.samples} samples "
            f"{1000 * self.scrape_seconds:.0f} ms, meanwhile another request waited "
            f"{1000 * self.longest_stall_seconds:.1f} ms at most; longest lag of the event loop "
            f"{1000 * self.longest_lag_seconds:.1f} ms, of the machine "
            f"{1000 * self.machine_delay_seconds:.1f} ms; "
            f"{100 * self.scrape_core_share:.0f} % of a core for scrapes"
        )


def measure(fleet: FakeFleet, *, clusters: int, interval_seconds: int, watch_seconds: int) -> Fleet:
    """Poll a fleet with the real program; watch it poll, then scrape it.

    Args:
        fleet: serves the clusters.
        clusters: how many to poll.
        interval_seconds: between polls of a cluster.
        watch_seconds: how long to watch steady polling.

    Raises:
        NotMeasuredError: polls failed.
    """
    config = fleet.configuration(clusters=clusters, poll_interval_seconds=interval_seconds)
    begun = time.monotonic()
    with program(config) as exporter:
        exporter.until_ready()
        ready = time.monotonic() - begun
        with _machine_delays() as machine_delays:
            before, started = exporter.polls_and_cpu(), time.monotonic()
            delays = []
            for second in range(1, watch_seconds + 1):
                time.sleep(max(started + second - time.monotonic(), 0.0))
                delays.append(exporter.totals("ontap_exporter_poll_delay_seconds").popitem()[1])
            after, elapsed = exporter.polls_and_cpu(), time.monotonic() - started
            cpu = after[1] - before[1]
            pss = exporter.process.pss_bytes()
            scrapes, stall, samples, share = _scrape(exporter)
        exporter.refuse_failed_polls()
        totals = exporter.totals("ontap_software_packages", "ontap_exporter_event_loop_lag_seconds")
        if totals["ontap_software_packages"] != clusters * PACKAGES:
            raise SystemExit(f"{totals['ontap_software_packages']:.0f} packages are exposed")
        return Fleet(
            clusters=clusters,
            listening_seconds=exporter.listening_seconds,
            ready_seconds=ready,
            pss_bytes=max(pss, exporter.process.pss_bytes()),
            cpu_share=cpu / elapsed,
            poll_cpu_ms=1000 * cpu / (after[0] - before[0]),
            delay_p99_seconds=quantiles(delays, n=100)[98],
            samples=samples,
            scrape_seconds=median(scrapes),
            longest_lag_seconds=totals["ontap_exporter_event_loop_lag_seconds"],
            longest_stall_seconds=stall,
            machine_delay_seconds=max(machine_delays),
            scrape_core_share=share,
        )


@contextlib.contextmanager
def _machine_delays() -> Iterator[list[float]]:
    """Collect how late a thread that only sleeps wakes up, for as long as the context lasts."""
    done = threading.Event()
    delays = [0.0]

    def sleep() -> None:
        while not done.is_set():
            due = time.monotonic() + _SLEEP_SECONDS
            time.sleep(_SLEEP_SECONDS)
            delays.append(time.monotonic() - due)

    sleeper = threading.Thread(target=sleep)
    sleeper.start()
    try:
        yield delays
    finally:
        done.set()
        sleeper.join()


def _scrape(exporter: Program, times: int = 5) -> tuple[list[float], float, int, float]:
    """Scrape some times; return how long each took, the longest stall, a scrape's samples, the core's share.

    The stall is the median: what the program does happens in each scrape, what the machine does in some.
    """
    _, body = exporter.get("/metrics")
    samples = sum(not line.startswith(b"#") for line in body.splitlines())
    durations, stalls, cpu_seconds = [], [], 0.0
    for _ in range(times):
        time.sleep(1.1 * SHARED_SECONDS)  # else it would get the shared answer of the last scrape
        done = threading.Event()
        waits: list[float] = []
        prober = threading.Thread(target=_probe, args=(exporter, done, waits))
        prober.start()
        cpu_before, asked = exporter.process.cpu_seconds(), time.monotonic()
        exporter.get("/metrics", **{"Accept-Encoding": "gzip"})
        durations.append(time.monotonic() - asked)
        cpu_seconds += exporter.process.cpu_seconds() - cpu_before
        done.set()
        prober.join()
        stalls.append(max(waits))
    return durations, median(stalls), samples, min(cpu_seconds / sum(durations), 1.0)


def _probe(exporter: Program, done: threading.Event, waits: list[float]) -> None:
    """Ask for a small page, again and again, until it is done; record how long each answer took."""
    while not done.is_set() or not waits:
        asked = time.monotonic()
        exporter.get("/-/healthy")
        waits.append(time.monotonic() - asked)
