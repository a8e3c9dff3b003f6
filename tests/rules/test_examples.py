"""The example configurations are valid as they are and with every commented line, and fit the rules."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.simulator import Simulator
from ontap_mixin.settings import load
from support.alertmanager import needs_amtool
from support.prometheus import needs_prometheus
from support.rules import PROMETHEUS, RULE_FILES, alerts

EXAMPLES = ("prometheus.yaml", "prometheus-probe.yaml")
_OPTION = re.compile(r"^( *)# ((?: *)(?:- )?[a-z_]+:.*)$", re.MULTILINE)


def example(name: str) -> str:
    return (PROMETHEUS / name).read_text(encoding="utf-8")


def scrape_configs(text: str) -> dict[str, Any]:
    return {job["job_name"]: job for job in yaml.safe_load(text)["scrape_configs"]}


def check(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs_prometheus
@pytest.mark.parametrize("name", EXAMPLES)
def test_promtool_accepts_an_example_and_finds_all_rules(name: str) -> None:
    assert f"{len(RULE_FILES)} rule files found" in check(
        "promtool", "check", "config", "--lint=all", PROMETHEUS / name
    )


@needs_prometheus
@pytest.mark.parametrize("name", EXAMPLES)
async def test_promtool_accepts_an_example_with_tls_and_a_login(name: str, tmp_path: Path) -> None:
    async with Simulator(directory=tmp_path) as simulator:
        text = _OPTION.sub(r"\1\2", example(name)).replace(
            "/etc/prometheus/ontap-packages-exporter-ca.pem", str(simulator.ca_file)
        )
        password = tmp_path / "password"
        password.write_text("made-up")
        text = text.replace("/etc/prometheus/ontap-packages-exporter-password", str(password))
        text = text.replace("rules/*.yaml", f"{PROMETHEUS}/rules/*.yaml")
        for job in scrape_configs(text).values():
            assert job["scheme"] == "https"
            assert job["basic_auth"]["username"] == "prometheus"
            for discovery in job.get("http_sd_configs", []):
                assert discovery["basic_auth"] == job["basic_auth"]
                assert discovery["tls_config"] == job["tls_config"]
        changed = tmp_path / name
        changed.write_text(text)
        check("promtool", "check", "config", changed)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_labels_of_the_exporter_win_in_every_job(name: str) -> None:
    assert all(job["honor_labels"] is True for job in scrape_configs(example(name)).values())


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_rules_watch_the_job_of_an_example_that_scrapes_exporters(name: str) -> None:
    label, _, pattern = load().selector.partition("=~")
    assert label == "job"
    jobs = scrape_configs(example(name))
    watched = {job for job in jobs if re.fullmatch(json.loads(pattern), job)}
    assert watched == {job for job, config in jobs.items() if config.get("metrics_path") != "/probe"}


@needs_amtool
def test_amtool_accepts_the_routes() -> None:
    assert "SUCCESS" in check("amtool", "check-config", PROMETHEUS / "alertmanager.yaml")


@needs_amtool
@pytest.mark.parametrize("name", tuple(alerts()))
def test_critical_alerts_reach_the_person_on_call(name: str) -> None:
    severity = alerts()[name].text["labels"]["severity"]
    receiver = "storage-on-call" if severity == "critical" else "storage-team"
    labels = (f"alertname={name}", f"severity={severity}")
    command = ("amtool", "config", "routes", "test", f"--config.file={PROMETHEUS / 'alertmanager.yaml'}")
    assert check(*command, *labels).strip() == receiver


def test_the_routes_name_alerts_that_exist() -> None:
    words = re.findall(r"\bOntap\w+", example("alertmanager.yaml"))
    assert words
    assert set(words) <= set(alerts())
