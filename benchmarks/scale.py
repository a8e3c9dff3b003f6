"""What fleets of several sizes cost: memory, CPU time, delays, start, scrapes, stalls of the event loop."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from statistics import median, quantiles

from benchmarks.fake_fleet import PACKAGES, FakeFleet
from benchmarks.program import Program, program

_MIB = 2**20


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
        failures: polls that failed.
        samples: of a scrape.
        scrape_seconds: how long a scrape took its client, compressed; the median.
        longest_lag_seconds: the longest lag of the event loop in the last minute or two, as it tells itself.
        longest_stall_seconds: the longest that another request had to wait while it was scraped.
    """

    clusters: int
    listening_seconds: float
    ready_seconds: float
    pss_bytes: int
    cpu_share: float
    poll_cpu_ms: float
    delay_p99_seconds: float
    failures: int
    samples: int
    scrape_seconds: float
    longest_lag_seconds: float
    longest_stall_seconds: float

    def __str__(self) -> str:
        """Write it for people."""
        return (
            f"{self.clusters:6} clusters: listening after {self.listening_seconds:.1f} s, all polled after "
            f"{self.ready_seconds:.1f} s; {self.pss_bytes / _MIB:.0f} MiB; "
            f"{100 * self.cpu_share:.1f} % of a core, {self.poll_cpu_ms:.2f} ms a poll, p99 of the delay "
            f"{self.delay_p99_seconds:.3f} s, {self.failures} failed; scrape of {self.samples} samples "
            f"{1000 * self.scrape_seconds:.0f} ms, meanwhile another request waited "
            f"{1000 * self.longest_stall_seconds:.1f} ms at most; longest lag of the event loop "
            f"{1000 * self.longest_lag_seconds:.1f} ms"
        )


def measure(fleet: FakeFleet, *, clusters: int, interval_seconds: int, watch_seconds: int) -> Fleet:
    """Poll a fleet with the real program; watch it poll, then scrape it.

    Args:
        fleet: serves the clusters.
        clusters: how many to poll.
        interval_seconds: between polls of a cluster.
        watch_seconds: how long to watch steady polling.
    """
    config = fleet.configuration(clusters=clusters, poll_interval_seconds=interval_seconds)
    begun = time.monotonic()
    with program(config) as exporter:
        exporter.until_ready()
        ready = time.monotonic() - begun
        before, started = exporter.polls_and_cpu(), time.monotonic()
        delays = []
        for second in range(1, watch_seconds + 1):
            time.sleep(max(started + second - time.monotonic(), 0.0))
            delays.append(exporter.totals("ontap_exporter_poll_delay_seconds").popitem()[1])
        after, elapsed = exporter.polls_and_cpu(), time.monotonic() - started
        cpu = after[1] - before[1]
        pss = exporter.process.pss_bytes()
        scrapes, stall, samples = _scrape(exporter)
        totals = exporter.totals(
            "ontap_poll_failures_total", "ontap_software_packages", "ontap_exporter_event_loop_lag_seconds"
        )
        if totals["ontap_software_packages"] != clusters * PACKAGES:
            raise SystemExit(f"{totals['ontap_software_packages']:.0f} packages are told of")
        return Fleet(
            clusters=clusters,
            listening_seconds=exporter.listening_seconds,
            ready_seconds=ready,
            pss_bytes=max(pss, exporter.process.pss_bytes()),
            cpu_share=cpu / elapsed,
            poll_cpu_ms=1000 * cpu / (after[0] - before[0]),
            delay_p99_seconds=quantiles(delays, n=100)[98],
            failures=int(totals["ontap_poll_failures_total"]),
            samples=samples,
            scrape_seconds=median(scrapes),
            longest_lag_seconds=totals["ontap_exporter_event_loop_lag_seconds"],
            longest_stall_seconds=stall,
        )


def _scrape(exporter: Program, times: int = 5) -> tuple[list[float], float, int]:
    """Scrape some times; return how long each took, the longest stall, and the samples of a scrape."""
    durations = []
    done = threading.Event()
    stalls: list[float] = []

    def probe() -> None:
        while not done.is_set():
            asked = time.monotonic()
            exporter.get("/-/healthy")
            stalls.append(time.monotonic() - asked)

    prober = threading.Thread(target=probe)
    _, body = exporter.get("/metrics")
    samples = sum(not line.startswith(b"#") for line in body.splitlines())
    prober.start()
    for _ in range(times):
        asked = time.monotonic()
        exporter.get("/metrics", **{"Accept-Encoding": "gzip"})
        durations.append(time.monotonic() - asked)
    done.set()
    prober.join()
    return durations, max(stalls), samples
