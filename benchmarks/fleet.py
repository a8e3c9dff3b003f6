"""Polls a simulated fleet with the real program, and prints what that takes.

Usage: ``python benchmarks/fleet.py [--clusters 500] [--packages 20] [--seconds 20]``

The simulator and the program are processes of their own on one machine. Fails where a poll failed, a package
is missing, or the program listened too late.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

START_SECONDS = 120.0
LISTEN_SECONDS_ALLOWED = 1.0
_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Run the benchmark; return 1 where the program did not do what it must."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--clusters", type=int, default=500)
    parser.add_argument("--packages", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long to watch steady polling")
    parser.add_argument("--poll-interval", default="10s", help="while it is watched")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ontap-packages-benchmark-") as name:
        directory = Path(name)
        with _simulator(arguments.clusters, arguments.packages, directory):
            config = directory / "config.yaml"
            text = config.read_text()
            config.write_text(
                re.sub(r"poll_interval: \S+", f"poll_interval: {arguments.poll_interval}", text)
            )
            return _measure(config, arguments)


def _measure(config: Path, arguments: argparse.Namespace) -> int:
    begun = time.monotonic()
    with _program(
        "run", f"--config.file={config}", "--web.listen-address=127.0.0.1:0", "--log.level=info"
    ) as process:
        url = "http://" + _wait_for(process, r"address=(\S+)")
        listened, listened_cpu = time.monotonic() - begun, _cpu_seconds(process.pid)
        while _status(f"{url}/-/ready") != 200:
            time.sleep(0.01)
        ready = time.monotonic() - begun
        rss_first = _memory_bytes(process.pid, "VmRSS")
        cpu_begun, polls_begun = _cpu_seconds(process.pid), _total(_metrics(url), "ontap_polls_total")
        watched = time.monotonic()
        scrapes: list[float] = []
        body = ""
        while time.monotonic() - watched < arguments.seconds:
            asked = time.monotonic()
            body = _metrics(url)
            scrapes.append(time.monotonic() - asked)
            time.sleep(1.0)
        elapsed = time.monotonic() - watched
        metrics = _metrics(url)
        polls = _total(metrics, "ontap_polls_total") - polls_begun
        cpu = _cpu_seconds(process.pid) - cpu_begun
        failures = _total(metrics, "ontap_poll_failures_total")
        packages = _total(metrics, "ontap_software_packages")
        samples = sum(line[:1] not in ("#", "") for line in body.split("\n"))
        print(f"clusters {arguments.clusters}, packages each {arguments.packages}, samples {samples}")
        print(f"listening after {listened:.2f} s ({listened_cpu:.2f} s of CPU), ", end="")
        print(f"every cluster polled once after {ready:.2f} s")
        print(f"memory {rss_first / 2**20:.0f} MiB RSS after the first polls, ", end="")
        print(f"{_memory_bytes(process.pid, 'VmHWM') / 2**20:.0f} MiB at most")
        print(f"{polls:.0f} polls in {elapsed:.1f} s, {1000 * cpu / max(polls, 1):.2f} ms of CPU a poll")
        print(f"  (scrapes included, {100 * cpu / elapsed:.0f} % of one core)")
        middle = sorted(scrapes)[len(scrapes) // 2]
        print(f"scrape {1000 * middle:.0f} ms in the middle, gzip and transfer included, of {len(scrapes)}")
        print(f"latest poll {_total(metrics, 'ontap_exporter_poll_delay_seconds'):.3f} s late")
        return _verdict(
            {
                f"{failures:.0f} polls failed": failures == 0,
                f"{packages:.0f} packages": packages == arguments.clusters * arguments.packages,
                f"{polls:.0f} polls while watched": polls > 0,
                f"listening took {listened_cpu:.2f} s of CPU": listened_cpu < LISTEN_SECONDS_ALLOWED,
            }
        )


def _verdict(findings: dict[str, bool]) -> int:
    for finding, good in findings.items():
        print(f"{'ok' if good else 'FAILED'}: {finding}")
    return 0 if all(findings.values()) else 1


@contextlib.contextmanager
def _simulator(clusters: int, packages: int, directory: Path) -> Iterator[None]:
    with _program(
        "simulate", f"--clusters={clusters}", f"--packages={packages}", f"--directory={directory}"
    ) as process:
        _wait_for(process, r"(simulated clusters)")
        yield


@contextlib.contextmanager
def _program(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "exporter", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


def _wait_for(process: subprocess.Popen[str], pattern: str) -> str:
    """Read the program's lines up to one that holds the pattern; return its group."""
    for line in process.stdout or ():
        if match := re.search(pattern, line):
            return match[1]
    raise SystemExit(f"the program ended without a line that holds {pattern}")


def _status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=START_SECONDS) as response:  # noqa: S310 - our own address
            return int(response.status)
    except urllib.error.HTTPError as exc:
        return exc.code


def _metrics(url: str) -> str:
    request = urllib.request.Request(f"{url}/metrics", headers={"Accept-Encoding": "gzip"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=START_SECONDS) as response:  # noqa: S310
        return gzip.decompress(response.read()).decode()


def _total(metrics: str, name: str) -> float:
    return sum(
        float(line.rpartition(" ")[2])
        for line in metrics.split("\n")
        if line.startswith((f"{name}{{", f"{name} "))
    )


def _memory_bytes(pid: int, field: str) -> int:
    match = re.search(rf"{field}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(match[1]) * 1024 if match else 0


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _CLOCK_TICKS


if __name__ == "__main__":
    sys.exit(main())
