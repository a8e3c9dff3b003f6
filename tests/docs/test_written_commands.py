"""Every command in README.md and docs is run as it is written, or the one list here says why it cannot be."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from exporter.simulator import Simulator
from exporter.simulator.exporter_configuration import exporter_config, write_secret
from exporter.simulator.ready_made_fleets import demo_fleet
from support.browser import environment
from support.daemon_process import program
from support.markdown import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
WRITTEN_URL = "http://localhost:10910"
END_SECONDS = 120.0
# How a command begins, or what it names, and why no test runs it.
ELSEWHERE = {
    r"docker |helm |kubectl |for pod in .*kubectl ": "needs Docker or Kubernetes; tests/deploy tries files",
    r"python3 -m venv|\. /opt/|pip install|install -[dm]": "installs; `make release-test` does it",
    r"systemctl |journalctl |timedatectl|chronyc ": "asks the machine's own services",
    r"promtool |amtool ": "tests/rules runs them with the same files",
    r".*10\.20\.0\.5": "asks a cluster of ONTAP",
    r".*//prometheus:9090": "asks a Prometheus of yours",
    r".*\bhtpasswd |.*getpass": "asks for a password",
    r"pg_dump |pg_restore ": "needs a PostgreSQL of yours; tests/cleanup/journal restores one so",
    r"sqlite3 |openssl x509": "a program that not every machine has",
    r"git -C /etc": "asks the history of your configuration",
    r".*--cert-file=": "needs the certificates of your web configuration",
}
# What the tests run.
KNOWN = re.compile(
    r"ontap-packages-exporter |umask 077 && ontap|curl .*http://localhost:10910|make [a-z]|METRICS=|query="
    r"|kill -(?:USR1|USR2|HUP) PID|tr .*/proc/PID/"
)
_BLOCK = re.compile(r"^```(console|sh)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_PROMPT = re.compile(r"^\$ (.*(?:\\\n.*)*)", re.MULTILINE)
_POLICY = """\
cleanup:
  policies:
    - name: retire-old
      clusters: {labels: {tier: prod}}
      schedule: "0 3 * * sat"
      keep_newest: 2
      older_than: 180d
    - name: retire-elsewhere
      every: 12h
      older_than: 1y
"""
_HARVEST = "Pollers:\n  a:\n    datacenter: ams\n    addr: 10.0.0.1\n    username: u\n    password: made-up\n"
_WEB = "basic_auth_users: {prometheus: $2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG}\n"


def commands(text: str) -> Iterator[str]:
    """Give the commands of a page: the lines with a prompt, and the other blocks of shell as a whole."""
    for kind, block in _BLOCK.findall(text):
        if kind == "sh":
            yield block.strip()
            continue
        variables = ""
        for command in _PROMPT.findall(block):
            if re.match(r"[A-Z]+='", command):
                variables += f"{command}\n"
            else:
                yield variables + command


def written() -> list[tuple[str, str]]:
    """Return every command with the page that has it."""
    return [
        (str(page.relative_to(ROOT)), command)
        for page in PAGES
        for command in commands(page.read_text(encoding="utf-8"))
    ]


def cannot_run(command: str) -> bool:
    return any(re.match(pattern, command) for pattern in ELSEWHERE)


async def test_every_command_of_the_pages_works_as_written(tmp_path: Path) -> None:
    for needed in ("bash", "curl", "jq", "make"):
        if shutil.which(needed) is None:
            pytest.skip(f"needs {needed}: apt-get install {needed}")
    environ = prepare(tmp_path)
    async with Simulator(demo_fleet(datetime.now(UTC)), directory=tmp_path) as simulator:
        write_secret(tmp_path / "config.yaml", exporter_config(simulator, poll_timeout="2s", extra=_POLICY))
        (tmp_path / "web.yaml").write_text(_WEB)
        (tmp_path / "web.yaml").chmod(0o600)
        (tmp_path / "harvest.yml").write_text(_HARVEST)
        save = "ontap-packages-exporter plan --config.file=config.yaml --save approved.json"
        assert await trouble(save, tmp_path, environ) == ""
        shutil.copy(tmp_path / "approved.json", tmp_path / "plan.json")
        flags = ("--web.enable-lifecycle", "--web.listen-address=127.0.0.1:0")
        async with program("run", f"--config.file={tmp_path / 'config.yaml'}", *flags) as daemon:
            await daemon.until_ready()
            await daemon.until_line("the journal is open")
            slots = asyncio.Semaphore(4)  # most of them wait for a cluster that does not answer

            async def tried(command: str) -> str:
                here = command.replace(WRITTEN_URL, daemon.url).replace("PID", str(daemon.process.pid))
                async with slots:
                    return await trouble(here, tmp_path, environ)

            runnable = list(dict.fromkeys(text for _, text in written() if not cannot_run(text)))
            results = await asyncio.gather(*map(tried, runnable))
            assert {text: said for text, said in zip(runnable, results, strict=True) if said} == {}
            assert daemon.process.returncode is None


def prepare(folder: Path) -> Mapping[str, str]:
    """Put the program on the path of the commands, and return their environment."""
    binaries = folder / "bin"
    binaries.mkdir()
    (folder / "harvest").mkdir()
    (folder / ".curlrc").write_text("fail\n")  # an error of HTTP is an exit code, too
    shim = binaries / "ontap-packages-exporter"
    shim.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m exporter "$@"\n')
    shim.chmod(0o755)
    path = f"{binaries}{os.pathsep}{os.environ['PATH']}"
    return {key: str(value) for key, value in environment().items()} | {
        "PATH": path,
        "CURL_HOME": str(folder),
        "PYTHONPATH": str(ROOT),
    }


async def trouble(command: str, folder: Path, environ: Mapping[str, str]) -> str:
    """Run a command in a folder and return what is wrong with it, or nothing."""
    if command.startswith("make "):  # which would run this test again, or Docker
        command, folder = command.replace("make ", "make --dry-run ", 1), ROOT
    if "import-harvest" in command:
        command, folder = command.replace("/opt/harvest/harvest.yml", "../harvest.yml"), folder / "harvest"
    command = command.replace("/var/lib/prometheus/node-exporter/", f"{folder}/")
    serves = re.match(r"ontap-packages-exporter run\b(?!.*--once)", command) is not None
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-c",
        f"exec {command} --web.listen-address=127.0.0.1:0" if serves else f"set -o pipefail\n{command}",
        cwd=folder,
        env=environ,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    said = ""
    try:
        async with asyncio.timeout(END_SECONDS):
            while line := await process.stdout.readline():
                said += line.decode()
                if serves and "msg=listening" in said:
                    process.send_signal(signal.SIGTERM)
                    serves = False
            code = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    # Clusters of the demo that do not answer are no fault of the command.
    allowed = {0, 1} if re.search(r"exporter (?:plan|run .*--once)", command) else {0}
    is_good = code in allowed and not serves and "Traceback" not in said
    return "" if is_good else f"exit code {code}: {said}"


def test_every_command_is_run_or_listed_with_the_reason() -> None:
    unknown = [
        (page, command) for page, command in written() if not cannot_run(command) and not KNOWN.match(command)
    ]
    assert unknown == []


def test_every_reason_is_needed() -> None:
    texts = [command for _, command in written()]
    assert [pattern for pattern in ELSEWHERE if not any(re.match(pattern, text) for text in texts)] == []


def test_commands_are_found() -> None:
    text = "```console\n$ A='x'\n$ echo $A\nx\n$ ls\n```\n\n```sh\nfor a in b; do\n    c\ndone\n```\n"
    assert list(commands(text)) == ["A='x'\necho $A", "A='x'\nls", "for a in b; do\n    c\ndone"]


async def test_a_command_that_fails_would_be_noticed(tmp_path: Path) -> None:
    environ = prepare(tmp_path)
    assert await trouble("true", tmp_path, environ) == ""
    assert "exit code 3" in await trouble("echo no | cat; exit 3", tmp_path, environ)
    assert "exit code 2" in await trouble("ontap-packages-exporter plan --no-such-flag", tmp_path, environ)
    assert "exit code" in await trouble(
        "ontap-packages-exporter run --config.file=no.yaml", tmp_path, environ
    )
