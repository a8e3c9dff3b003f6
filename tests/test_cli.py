"""Commands, flags and exit codes, as an operator meets them: the real program in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from exporter import __version__
from exporter.ontap.requests.listing import PACKAGES_PATH
from exporter.simulator import Fault, FaultKind, SimulatedCluster, Simulator
from exporter.simulator.exporter_configuration import exporter_config, write_secret
from support.daemon_process import program
from support.plans import run_command

LISTEN = "--web.listen-address=127.0.0.1:0"
GOOD = 'clusters: [{address: 127.0.0.1, basic_auth: {username: u, password: p}, name: "c1"}]\n'


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "exporter", *arguments], check=False, capture_output=True, text=True, cwd=cwd
    )


@pytest.mark.parametrize(
    "spelling", ["--version", "version", "run --version", "plan --version", "--config.file=x --version"]
)
def test_the_version_is_printed(spelling: str, tmp_path: Path) -> None:
    done = run(*spelling.split(), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"ontap-packages-exporter {__version__}\n")


@pytest.mark.parametrize("spelling", ["--help", "help"])
def test_help_names_every_command(spelling: str, tmp_path: Path) -> None:
    done = run(spelling, cwd=tmp_path)
    assert done.returncode == 0
    for command in ("run", "check-config", "health", "simulate", "demo"):
        assert f"\n    {command}" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--no-such-flag"], "unknown flag '--no-such-flag'"),
        (["run", "--web.listen-address=nowhere"], "not a listen address: 'nowhere'"),
        (["run", "--web.telemetry-path=metrics"], "not a path for metrics: 'metrics'"),
        (["run", "--web.telemetry-path=/-/healthy"], "not a path for metrics: '/-/healthy'"),
        (["run", "--web.telemetry-path=/clusters/x"], "not a path for metrics: '/clusters/x'"),
        (["run", "--web.telemetry-path=/icon.svg"], "not a path for metrics: '/icon.svg'"),
        (["run", "--log.level=loud"], "invalid choice: 'loud'"),
        (["run", "--config=x"], "unknown flag '--config': did you mean '--config.file'?"),
        (["run", "--web.listen-adress=:1"], "'--web.listen-adress': did you mean '--web.listen-address'?"),
        (["--verison"], "unknown flag '--verison': did you mean '--version'?"),
        (["help", "paln"], "unknown command 'paln': did you mean 'plan'?"),
        (["--shards=2"], "unknown flag '--shards': did you mean '--shard'?"),
        (["chek-config", "x"], "unknown command 'chek-config': did you mean 'check-config'?"),
        (["PLAN"], "unknown command 'PLAN': did you mean 'plan'?"),
        (["--Config.File=x"], "unknown flag '--Config.File': did you mean '--config.file'?"),
        (["explode"], "unknown command 'explode'\nhint: commands: run, check-config, check-web-config, plan"),
        (["explode"], "\nhint: ontap-packages-exporter --help lists what each does"),
        (["plan", "c1"], "unexpected argument 'c1'\nhint: ontap-packages-exporter plan --help lists"),
        (["check-config"], "one of the arguments FILE --config.file is required"),
        (["check-config", "--config.flie=x"], "'--config.flie': did you mean '--config.file'?"),
        (["check-web-config", "--web.confg.file=x"], "did you mean '--web.config.file'?"),
        (["import-harvest", "--hepl"], "unknown flag '--hepl': did you mean '--help'?"),
        (["plan", "--output", "json", "--diff=x"], "--diff writes lines for people"),
        (["check-config", "a", "--config.file=b"], "not allowed with argument"),
        (["health", "--url=ftp://x"], "not an address of the exporter: 'ftp://x'"),
        (["health", "--url=http://a b"], "not an address of the exporter: 'http://a b'"),
        (["health", "--url=http://a:x"], "not an address of the exporter: 'http://a:x'"),
    ],
)
def test_bad_flags_end_with_2_and_say_why(arguments: list[str], says: str) -> None:
    done = run_command(*arguments)
    assert done.returncode == 2
    assert says in done.stderr


@pytest.mark.parametrize(
    ("flag", "says"),
    [
        ("--web.external-url=ontap.example.com", "not a URL for browsers: 'ontap.example.com'"),
        ("--web.route-prefix=/a?b", "not a path of pages: '/a?b'"),
    ],
)
def test_a_bad_address_of_the_pages_ends_with_2_and_says_why(flag: str, says: str, tmp_path: Path) -> None:
    done = run("demo", flag, cwd=tmp_path)
    error = f"ontap-packages-exporter: error: {says}"
    assert (done.returncode, done.stderr.partition(";")[0]) == (2, error)


@pytest.mark.parametrize("command", [[], ["run"], ["plan"]])
def test_without_a_configuration_it_ends_with_2_and_says_what_to_do(
    command: list[str], tmp_path: Path
) -> None:
    done = run(*command, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("config.yaml:")
    assert "ontap-packages-exporter demo\n" in done.stderr
    assert f"ontap-packages-exporter {(command or ['run'])[0]} --help\n" in done.stderr


def test_run_with_a_bad_configuration_ends_with_2_and_names_the_line(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(GOOD + "defaults:\n  poll_interval: often\n")
    done = run(cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("config.yaml:3: defaults.poll_interval: ")


def test_help_for_a_command_lists_its_flags(tmp_path: Path) -> None:
    done = run("help", "plan", cwd=tmp_path)
    assert done.returncode == 0
    assert "--cluster" in done.stdout


@pytest.mark.parametrize("argument", ["good.yaml", "--config.file=good.yaml"])
def test_check_config_accepts_a_good_file(argument: str, tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "good.yaml").chmod(0o600)
    done = run("check-config", argument, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "good.yaml: valid, 1 cluster\n", "")


def test_check_config_says_which_policies_delete(tmp_path: Path) -> None:
    policies = (
        "{name: a, every: 24h, keep_newest: 2, dry_run: false}",
        "{name: b, every: 1h, older_than: 1y}",
    )
    cleanup = f"cleanup: {{policies: [{', '.join(policies)}]}}\n"
    write_secret(tmp_path / "good.yaml", GOOD + cleanup)
    done = run("check-config", "good.yaml", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.endswith("good.yaml: valid, 1 cluster, 2 cleanup policies\ndeleting: a; dry run: b\n")


def test_check_config_warns_of_a_journal_whose_folder_is_missing(tmp_path: Path) -> None:
    policy = "{name: a, every: 24h, keep_newest: 2}"
    cleanup = f"cleanup: {{state: 'sqlite:///no-such-folder/state.db', policies: [{policy}]}}\n"
    (tmp_path / "good.yaml").write_text(GOOD + cleanup)
    (tmp_path / "good.yaml").chmod(0o600)
    done = run("check-config", "good.yaml", cwd=tmp_path)
    assert done.returncode == 0
    assert "cleanup.state: its folder does not exist, so nothing is deleted until it does" in done.stdout


def test_check_config_prints_every_error_and_ends_with_1(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("max_concurrent_polls: many\ncolour: red\n" + GOOD)
    done = run("check-config", "bad.yaml", cwd=tmp_path)
    assert done.returncode == 1
    locations = [line.partition(": ")[0] for line in done.stderr.splitlines()]
    assert locations == ["bad.yaml:1", "bad.yaml:2", "ontap-packages-exporter"]
    assert done.stderr.endswith("ontap-packages-exporter: error: 2 errors in bad.yaml\n")


def test_check_config_prints_ten_mistakes_in_two_files_at_once(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(
        "defaults:\n  poll_interval: 60\n  poll_timeout: often\n  labels: {cluster: x}\n"
        "clusters:\n  - address: a..b\n  - {}\ncluster_files: [more.json]\ncolour: red\n"
    )
    (tmp_path / "more.json").write_text(
        '[\n{"targets": ["b", "b..c"]},\n{"address": 5},\n{"address": "c", "profile": "p"},\n"d"\n]\n'
    )
    done = run("check-config", "bad.yaml", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        "bad.yaml:2: defaults.poll_interval: a duration has a unit: 60; write e.g. 30s, 5m, 1h30m",
        "bad.yaml:3: defaults.poll_timeout: not a duration: 'often'; write e.g. 30s, 5m, 1h30m",
        "bad.yaml:4: defaults.labels.cluster: the exporter itself sets this label",
        "bad.yaml:6: clusters[0].address: not a host name: 'a..b'",
        "bad.yaml:7: clusters[1]: address is missing",
        "bad.yaml:9: colour: unknown key",
        "more.json:2: [0].targets[1]: not a host name: 'b..c'",
        "more.json:3: [1].address: text is expected, not a number; put quotation marks around it",
        "more.json:4: [2].profile: no profile is named 'p'",
        "more.json:5: [3]: a mapping is expected, not text",
        "ontap-packages-exporter: error: 10 errors in 2 files",
    ]


def test_a_taken_address_ends_with_1_and_names_it(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(GOOD)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = run("run", f"--web.listen-address={address}", cwd=tmp_path)
    assert done.returncode == 1
    assert f"cannot listen on {address}: Address already in use; another program listens there" in done.stderr
    assert "--web.listen-address=:10911" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_the_daemon_in_order_while_clusters_hang(
    number: signal.Signals, tmp_path: Path
) -> None:
    hanging = [SimulatedCluster(f"c{n}", faults=[Fault(FaultKind.HANG)]) for n in range(3)]
    async with Simulator(hanging, directory=tmp_path) as simulator:
        config = tmp_path / "config.yaml"
        write_secret(config, exporter_config(simulator))
        async with program("run", f"--config.file={config}", LISTEN) as daemon:
            for cluster in simulator.clusters:
                await cluster.wait_for_requests(1)
            status, _ = await daemon.get("/-/ready")
            assert status == 503
            begun = time.monotonic()
            assert await daemon.stop(number) == 0
            assert time.monotonic() - begun < 30  # far less than a poll may take
    assert "msg=stopped" in daemon.output
    assert "Traceback" not in daemon.output


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used: what the wall shows on a machine that has time."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


LIBRARIES = "aiohttp.web, prometheus_client, pydantic, structlog, uvloop, yaml"
"""What the daemon needs before it can listen."""


async def test_the_daemon_listens_after_little_more_than_loading_its_libraries(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(GOOD)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    loading = await asyncio.create_subprocess_exec(sys.executable, "-c", f"import {LIBRARIES}")
    assert await loading.wait() == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    loading_seconds = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    async with program("run", f"--config.file={tmp_path / 'config.yaml'}", LISTEN) as daemon:
        assert cpu_seconds(daemon.process.pid) < 2.2 * loading_seconds


async def test_every_address_is_listened_on(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(GOOD)
    async with program(
        "run", f"--config.file={tmp_path / 'config.yaml'}", LISTEN, "--web.listen-address=[::1]:0"
    ) as daemon:
        status, _ = await daemon.get("/-/healthy")
        assert status == 200
        await daemon.until_line("msg=polling")
        listening = [line for line in daemon.lines if "msg=listening" in line]
        addresses = [line.partition("address=")[2].split()[0] for line in listening]
        assert [address.rpartition(":")[0] for address in addresses] == ["127.0.0.1", "[::1]"]


async def test_metrics_move_to_the_path_that_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(GOOD)
    async with program(
        "run", f"--config.file={tmp_path / 'config.yaml'}", LISTEN, "--web.telemetry-path=/federate"
    ) as daemon:
        assert (await daemon.get("/federate"))[0] == 200
        assert (await daemon.get("/metrics"))[0] == 404
        assert 'href="federate"' in (await daemon.get("/"))[1]


async def test_health_asks_the_daemon(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(GOOD)
    async with program("run", f"--config.file={tmp_path / 'config.yaml'}", LISTEN) as daemon:
        healthy = await asyncio.to_thread(run, "health", f"--url={daemon.url}", cwd=tmp_path)
        assert (healthy.returncode, healthy.stdout, healthy.stderr) == (0, "the daemon works\n", "")
        url = daemon.url
        await daemon.stop()
    gone = await asyncio.to_thread(run, "health", f"--url={url}", cwd=tmp_path)
    assert gone.returncode == 1
    assert "does not answer" in gone.stderr


async def test_json_lines_are_json(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(GOOD)
    async with program(
        "run", f"--config.file={tmp_path / 'config.yaml'}", LISTEN, "--log.format=json"
    ) as daemon:
        line = json.loads(daemon.lines[0])
        assert (line["msg"], line["level"]) == ("listening", "info")


def test_an_empty_web_configuration_is_none(tmp_path: Path) -> None:
    """The configuration is missing, and nothing else."""
    done = run("run", "--web.config.file=", "--web.external-url=", "--web.route-prefix=", cwd=tmp_path)
    assert done.returncode == 2
    assert [line for line in done.stderr.splitlines() if "error" in line] == [
        "ontap-packages-exporter: error: 1 error in config.yaml"
    ]


@pytest.mark.parametrize("level", ["warn", "WARN", "Warning", "INFO"])
def test_levels_are_taken_in_either_case_and_warn_means_warning(level: str, tmp_path: Path) -> None:
    """The configuration is missing, so the flags have been taken."""
    done = run("run", f"--log.level={level}", cwd=tmp_path)
    assert done.stderr.startswith("config.yaml:")


async def run_beside_a_simulator(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(run, *arguments, cwd=cwd)


async def test_once_polls_every_cluster_once_and_writes_the_metrics(tmp_path: Path) -> None:
    clusters = [SimulatedCluster(name, packages=["9.14.1"]) for name in ("c1", "c2")]
    async with Simulator(clusters, directory=tmp_path) as simulator:
        policy = "{name: p, every: 1s, older_than: 1d, dry_run: false, seen_for: 0s}"
        cleanup = f"cleanup: {{state: sqlite:///state.db, policies: [{policy}]}}\n"
        write_secret(tmp_path / "config.yaml", exporter_config(simulator, extra=cleanup))
        done = await run_beside_a_simulator("run", "--once", cwd=tmp_path)
        assert done.returncode == 0
        assert 'ontap_up{cluster="c1"} 1.0\n' in done.stdout
        assert 'ontap_software_packages{cluster="c2"} 1.0\n' in done.stdout
        assert "ontap_exporter_clusters 2.0\n" in done.stdout
        assert "process_" not in done.stdout
        listed = [len(cluster.requests_to(PACKAGES_PATH)) for cluster in clusters]
        assert listed == [1, 1]
        assert not any(cluster.deletions for cluster in clusters)
        assert not (tmp_path / "state.db").exists()
        clusters[0].faults.add(Fault(FaultKind.SERVER_ERROR))
        (tmp_path / "ontap.prom").write_text("before")
        done = await run_beside_a_simulator("run", "--once", "--output=ontap.prom", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    written = (tmp_path / "ontap.prom").read_text()
    assert 'ontap_up{cluster="c1"} 0.0\n' in written
    assert 'ontap_up{cluster="c2"} 1.0\n' in written
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_once_that_cannot_write_or_is_not_asked_for_says_so(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("clusters: [{address: 127.0.0.1:1}]\n")
    done = run("run", "--once", "--output=no/folder/x.prom", cwd=tmp_path)
    assert done.returncode == 1
    assert "no/folder/x.prom: cannot be written: No such file or directory" in done.stderr
    done = run("run", "--once", "--output=.", cwd=tmp_path)
    assert (done.returncode, done.stderr.splitlines()[-1].partition("error: ")[2]) == (
        1,
        ".: cannot be written: Is a directory",
    )
    done = run("run", "--output=x.prom", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "ontap-packages-exporter: error: --output is only for --once\n"


def test_a_configuration_of_harvest_is_printed(tmp_path: Path) -> None:
    (tmp_path / "harvest.yml").write_text("Pollers: {c1: {addr: 10.0.0.1, username: u, password: p}}\n")
    done = run("import-harvest", "harvest.yml", cwd=tmp_path)
    assert done.returncode == 0
    (tmp_path / "made.yaml").write_text(done.stdout)
    assert run("check-config", "made.yaml", cwd=tmp_path).returncode == 0
    done = run("import-harvest", "gone.yml", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.endswith("error: gone.yml: cannot be read: No such file or directory\n")
    (tmp_path / "deep.yml").write_text("[" * 5000)
    done = run("import-harvest", "deep.yml", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "ontap-packages-exporter: error: deep.yml: nested too deeply\n"


async def test_simulated_clusters_are_polled_without_a_warning_of_the_configuration(tmp_path: Path) -> None:
    async with Simulator([SimulatedCluster("c1")], directory=tmp_path) as simulator:
        write_secret(tmp_path / "config.yaml", exporter_config(simulator))
    done = run("check-config", "config.yaml", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "config.yaml: valid, 1 cluster\n")


async def test_the_demo_shows_a_fleet(tmp_path: Path) -> None:
    async with program("demo", LISTEN, environ={"TMPDIR": str(tmp_path)}) as daemon:
        await daemon.until_ready()
        await daemon.until_line("stop     Ctrl+C; nothing is left behind")
        assert f"  open     {daemon.url}/" in daemon.lines
        assert f"  metrics  {daemon.url}/metrics" in daemon.lines
        assert not any("warning about the configuration" in line for line in daemon.lines)
        _, metrics = await daemon.get("/metrics")
        for line in (
            'ontap_up{cluster="syd-dr-01"',
            'ontap_software_packages{cluster="sin-edge-01"',
            'ontap_poll_failures_total{cluster="sin-dev-01",reason="unauthorized"',
        ):
            assert line in metrics
        assert await daemon.stop() == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_configuration_whose_name_is_impossible_is_a_mistake_of_the_operators(
    command: str, tmp_path: Path
) -> None:
    done = run(command, f"--config.file={'x' * 300}", cwd=tmp_path)
    assert done.returncode == 2
    assert "File name too long" in done.stderr
    assert done.stderr.count("error: ") == 1
