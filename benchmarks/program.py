"""The real program under measurement, and its own metrics."""

from __future__ import annotations

import contextlib
import http.client
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from benchmarks.processes import START_SECONDS, NotMeasuredError, Process, python

_OK = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A running exporter.

    Attributes:
        process: for its memory and CPU time.
        port: where it listens on loopback.
        listening_seconds: how long it took from its start until it listened.
    """

    process: Process
    port: int
    listening_seconds: float

    def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        """Return the status and the body of an answer, as it was sent."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=START_SECONDS)
        with contextlib.closing(connection):
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            return response.status, response.read()

    def totals(self, *names: str) -> dict[str, float]:
        """Return the sums of some metrics over all labels, taken at one moment."""
        totals = dict.fromkeys(names, 0.0)
        _, body = self.get("/metrics?" + urlencode([("name[]", name) for name in names]))
        for line in body.decode().splitlines():
            name = line.partition("{")[0].partition(" ")[0]
            if name in totals:
                totals[name] += float(line.rpartition(" ")[2])
        return totals

    def refuse_failed_polls(self) -> None:
        """Check that no poll has failed so far: the cost of a failed poll is different.

        Raises:
            NotMeasuredError: some have; says how many for each reason.
        """
        _, body = self.get("/metrics?" + urlencode({"name[]": "ontap_poll_failures_total"}))
        reasons: Counter[str] = Counter()
        for reason, count in re.findall(r'\breason="(\w+)".*\} (\d+)', body.decode()):
            reasons[reason] += int(count)
        if failed := reasons.total():
            named = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common() if count)
            raise NotMeasuredError(f"{failed} polls failed: {named}")

    def polls_and_cpu(self) -> tuple[float, float]:
        """Return the polls so far and the CPU seconds so far."""
        totals = self.totals("ontap_polls_total", "process_cpu_seconds_total")
        return totals["ontap_polls_total"], totals["process_cpu_seconds_total"]

    def until_ready(self) -> None:
        """Wait until every cluster has been polled once."""
        deadline = time.monotonic() + START_SECONDS * 2
        while self.get("/-/ready")[0] != _OK:
            if time.monotonic() > deadline:
                raise NotMeasuredError(f"the program was not ready after {2 * START_SECONDS:.0f} s")
            time.sleep(0.1)


@contextlib.contextmanager
def program(config: Path) -> Iterator[Program]:
    """Run the exporter with a configuration for as long as the context lasts."""
    begun = time.monotonic()
    arguments = ("run", f"--config.file={config}", "--web.listen-address=127.0.0.1:0")
    with python("exporter", *arguments) as process:
        port = int(process.line_with(r"address=127\.0\.0\.1:(\d+)"))
        yield Program(process=process, port=port, listening_seconds=time.monotonic() - begun)
