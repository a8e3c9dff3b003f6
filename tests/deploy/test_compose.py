"""What compose starts: run as processes if it is ours, and checked by its own tools if it is not."""

from __future__ import annotations

import argparse
import asyncio
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.cli import full_parser
from exporter.simulator import command
from support.alertmanager import needs_amtool
from support.daemon_process import program
from support.kubernetes import ROOT
from support.postgresql_server import PostgresqlServer
from support.prometheus import needs_prometheus
from support.waiting import eventually

FOLDER = ROOT / "deploy" / "compose"
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
VOLUME = "/var/lib/ontap-packages-exporter"
START_SECONDS = 60.0


@asynccontextmanager
async def simulating(*arguments: str) -> AsyncIterator[None]:
    """Serve the simulated clusters."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    stop, serving = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(command.serve(parser.parse_args(arguments), stop=stop, say=lambda _: serving.set()))
        await serving.wait()
        try:
            yield
        finally:
            stop.set()


def mounts(service: str) -> dict[str, str]:
    """Return the sources of what a service mounts, by their places in it."""
    split = (volume.split(":") for volume in SERVICES[service]["volumes"])
    return {place: source for source, place, *_ in split}


@pytest.mark.parametrize("service", SERVICES)
def test_everything_that_a_service_mounts_is_there(service: str) -> None:
    for source in mounts(service).values():
        assert (FOLDER / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]


@pytest.mark.parametrize("service", SERVICES)
def test_every_port_is_open_on_this_machine_only(service: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[service].get("ports", []))


@pytest.mark.parametrize("service", ["simulator", "exporter"])
def test_the_exporter_s_containers_have_no_privileges(service: str) -> None:
    assert SERVICES[service]["read_only"] is True
    assert SERVICES[service]["cap_drop"] == ["ALL"]
    assert SERVICES[service]["security_opt"] == ["no-new-privileges"]


def test_both_of_our_services_are_one_build_with_the_labels_of_the_image() -> None:
    simulator, exporter = (SERVICES[service] for service in ("simulator", "exporter"))
    assert simulator["image"] == exporter["image"]
    assert simulator["build"] == exporter["build"]
    folder = (FOLDER / simulator["build"]["context"]).resolve()
    assert folder == ROOT
    declared = set(re.findall(r"^ARG (\w+)", (folder / "Dockerfile").read_text(), re.MULTILINE))
    assert set(simulator["build"]["args"]) <= declared


@needs_prometheus
@needs_amtool
def test_prometheus_and_alertmanager_take_what_they_mount(tmp_path: Path) -> None:
    for service in ("prometheus", "alertmanager"):
        for place, source in mounts(service).items():
            if source.startswith("."):
                copy = shutil.copytree if (FOLDER / source).is_dir() else shutil.copy
                target = tmp_path / place.lstrip("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                copy(FOLDER / source, target)
    config = tmp_path / "etc/prometheus/prometheus.yaml"
    subprocess.run(["promtool", "check", "config", config], check=True, capture_output=True)
    config = tmp_path / "etc/alertmanager/alertmanager.yaml"
    subprocess.run(["amtool", "check-config", config], check=True, capture_output=True)


def test_grafana_finds_dashboards_and_prometheus_where_they_are_mounted() -> None:
    provider = yaml.safe_load((ROOT / "grafana/provisioning/dashboards/ontap-packages.yaml").read_text())
    place = provider["providers"][0]["options"]["path"]
    assert mounts("grafana")[place] == "../../grafana/dashboards"
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{place}/fleet.json"
    assert (ROOT / "grafana" / "dashboards" / "fleet.json").exists()
    published = {port.rpartition(":")[0].removeprefix("127.0.0.1:") for port in SERVICES["grafana"]["ports"]}
    linked = full_parser().parse_args(SERVICES["exporter"]["command"]).grafana_url
    assert published == {linked.rpartition(":")[2]}
    sources = yaml.safe_load((FOLDER / "grafana-datasources" / "prometheus.yaml").read_text())
    scraping = yaml.safe_load((FOLDER / "prometheus.yaml").read_text())
    assert sources["datasources"][0]["url"] == "http://prometheus:9090"
    assert sources["datasources"][0]["jsonData"]["timeInterval"] == scraping["global"]["scrape_interval"]
    (job,) = scraping["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["exporter:10910"]}]
    assert SERVICES["simulator"]["networks"]["default"]["aliases"] == ["exporter"]


async def test_the_simulator_is_healthy_only_while_it_serves(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "config.yaml").write_text("of an earlier start")
    kind, *check = SERVICES["simulator"]["healthcheck"]["test"]
    assert kind == "CMD"
    here = [argument.replace(VOLUME, str(volume)).replace("127.1.0.", "127.81.0.") for argument in check]
    environ = {"PATH": str(Path(sys.executable).parent)}  # `python` is that of the image

    async def is_healthy() -> bool:
        process = await asyncio.create_subprocess_exec(*here, env=environ, stderr=asyncio.subprocess.DEVNULL)
        return await process.wait() == 0

    assert not await is_healthy()
    _, *simulate = (argument.replace(VOLUME, str(volume)) for argument in SERVICES["simulator"]["command"])
    async with simulating(*simulate, "--first-address=127.81.0.1"):
        assert await is_healthy()


async def test_simulator_and_exporter_work_together_with_the_journal_in_postgresql(
    tmp_path: Path, postgresql: PostgresqlServer
) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    name, *simulate = (argument.replace(VOLUME, str(volume)) for argument in SERVICES["simulator"]["command"])
    assert name == "simulate"
    config = tmp_path / "config.yaml"
    text = (FOLDER / "config.yaml").read_text().replace(VOLUME, str(volume))
    # Addresses that no other test uses.
    config.write_text(text.replace("127.1.0.", "127.80.0."))
    (place,) = (place for place, source in mounts("exporter").items() if source == "./config.yaml")
    run = [argument.replace(place, str(config)) for argument in SERVICES["exporter"]["command"]]
    environ = {"JOURNAL_URL": await postgresql.new_database()}
    async with simulating(*simulate, "--first-address=127.80.0.1"):
        written = yaml.safe_load((volume / "config.yaml").read_text())["clusters"]
        assert yaml.safe_load(config.read_text())["clusters"] == written
        async with program(*run, "--web.listen-address=127.0.0.1:0", environ=environ) as exporter:
            await exporter.until_ready()
            up = await exporter.by_cluster("ontap_up")
            assert {name for name, value in up.items() if not value} == {"sin-dev-01", "syd-dr-01"}

            async def cleaning() -> bool:
                return sum((await exporter.by_cluster("ontap_cleanup_lease_held")).values()) > 0

            await eventually(cleaning, seconds=START_SECONDS, what="a lease in the journal")
            assert await exporter.value("ontap_cleanup_journal_open") == 1
