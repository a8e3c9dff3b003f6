"""A password that a cluster echoes is neither stored nor shown; nor is that of the journal itself."""

from __future__ import annotations

import html
import json
import sqlite3
from contextlib import closing
from pathlib import Path

from cleanup.journal.conftest import NewUrl

from exporter.simulator import Fault, FaultKind, JobOutcome, JobScript, SimulatedCluster, Simulator
from exporter.simulator.exporter_configuration import exporter_config, write_secret
from support.daemon_process import program
from support.postgresql_server import PASSWORD as DATABASE_PASSWORD
from support.postgresql_server import QUOTED_PASSWORD, PostgresqlServer
from support.waiting import eventually

PASSWORD = "echoed-Pa55word"
SHOWING_MESSAGES = ("/cleanup/runs/1", "/clusters/c1", "/api/v1/cleanup")
PAGES = (*SHOWING_MESSAGES, "/cleanup", "/", "/metrics", "/config", "/api/v1/clusters")
OLD = "2019-02-04T19:00:00+00:00"


def echoing_cluster() -> SimulatedCluster:
    """Simulate a cluster that says its password in the answer to one DELETE and in the job of another."""
    cluster = SimulatedCluster(
        "c1", packages=[("9.8", OLD), ("9.9.1", OLD)], password=PASSWORD, job_seconds=0.05
    )
    cluster.faults.add(
        Fault(
            FaultKind.DELETE_ERROR,
            times=1,
            status=500,
            code=10551892,
            message=f"no: monitor:{PASSWORD} failed",
        )
    )
    cluster.job_script = JobScript(outcome=JobOutcome.FAILURE, code=10551892, message=f"as {PASSWORD}: no")
    return cluster


async def content(url: str, request_postgresql: PostgresqlServer | None) -> str:
    """Return every row of every table as text."""
    if request_postgresql is None:
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            return "\n".join(connection.iterdump())
    tables = await request_postgresql.ask(
        url, "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
    )
    rows = [
        await request_postgresql.ask(url, f'SELECT one::text FROM "{name}" one')  # noqa: S608 - its own names
        for (name,) in tables
    ]
    return "\n".join(str(row[0]) for some in rows for row in some)


async def test_no_column_and_no_page_of_an_open_journal_holds_a_password_that_a_cluster_echoes(
    new_url: NewUrl, postgresql: PostgresqlServer, tmp_path: Path
) -> None:
    url = await new_url()
    policy = "{name: p, every: 24h, older_than: 90d, seen_for: 0s, stop_after_failures: 1, dry_run: false}"
    async with Simulator([echoing_cluster()], directory=tmp_path) as simulator:
        config = tmp_path / "config.yaml"
        cleanup = f"cleanup:\n  state: {json.dumps(url)}\n  policies: [{policy}]\n"
        write_secret(config, exporter_config(simulator, poll_interval="1s", extra=cleanup))
        async with program("run", f"--config.file={config}", "--web.listen-address=127.0.0.1:0") as daemon:

            async def ended() -> bool:
                runs = json.loads((await daemon.get("/api/v1/cleanup"))[1])["runs"]
                return bool(runs) and runs[0]["ended_timestamp_seconds"] is not None

            await eventually(ended, seconds=60, what="the run")
            assert await daemon.value("ontap_cleanup_journal_open") == 1
            shown = {path: (await daemon.get(path))[1] for path in PAGES}
            for path in SHOWING_MESSAGES:
                assert "failed" in shown[path], path
                assert "<secret>" in html.unescape(shown[path]), path
            assert await daemon.stop() == 0
            emitted = "\n".join([*shown.values(), daemon.output])
            for secret in (PASSWORD, DATABASE_PASSWORD, QUOTED_PASSWORD):
                assert secret not in html.unescape(emitted)
    stored = await content(url, postgresql if url.startswith("postgresql") else None)
    assert "10551892" in stored
    assert "<secret>" in stored
    assert PASSWORD not in stored
