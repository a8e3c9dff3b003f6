"""The plain manifests, built by kustomize."""

from __future__ import annotations

import base64
import json
import os
import re
from pathlib import Path

import pytest
import yaml

import exporter
from exporter.config import ConfigFiles
from support.kubernetes import (
    NEWEST,
    OLDEST,
    ROOT,
    kustomize,
    needs_kubectl,
    needs_schemas,
    of_kind,
    problems,
)
from support.policies import violations

pytestmark = needs_kubectl

KUBERNETES = ROOT / "deploy" / "kubernetes"
FOLDERS = ["base", "overlays/one", "overlays/shards", "overlays/replicas", "postgresql"]

by_folder = pytest.mark.parametrize("folder", FOLDERS)


@by_folder
@needs_schemas
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_kubernetes_takes_every_field_of_what_is_built(folder: str, version: str) -> None:
    manifests = kustomize(KUBERNETES / folder)
    assert [problem for manifest in manifests for problem in problems(manifest, version)] == []


@by_folder
def test_what_is_built_has_no_privileges_and_selects_its_own_pods(folder: str) -> None:
    assert list(violations(kustomize(KUBERNETES / folder))) == []


@pytest.mark.parametrize(
    ("overlay", "kind", "replicas", "flags"),
    [
        ("one", "StatefulSet", 1, []),
        ("shards", "StatefulSet", 3, ["--shard=auto", "--total-shards=3"]),
        ("replicas", "Deployment", 2, []),
    ],
)
def test_an_overlay_is_the_shape_that_its_name_says(
    overlay: str, kind: str, replicas: int, flags: list[str]
) -> None:
    manifests = kustomize(KUBERNETES / "overlays" / overlay)
    (workload,) = of_kind(manifests, "StatefulSet") + of_kind(manifests, "Deployment")
    assert (workload["kind"], workload["spec"]["replicas"]) == (kind, replicas)
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"ontap-packages-exporter:{exporter.__version__}"
    assert container["args"][2:] == flags
    journals = [one["valueFrom"]["secretKeyRef"] for one in container["env"] if one["name"] == "JOURNAL_URL"]
    assert journals == ([] if overlay == "one" else [{"name": "journal", "key": "url"}])
    assert bool(workload["spec"].get("volumeClaimTemplates")) == (overlay == "one")
    assert len(of_kind(manifests, "PodDisruptionBudget")) == (overlay != "one")


def test_the_example_configuration_is_one_that_the_program_takes(tmp_path: Path) -> None:
    manifests = kustomize(KUBERNETES / "base")
    volumes = {}
    for secret in of_kind(manifests, "Secret"):
        name = secret["metadata"]["name"].rpartition("-")[0]
        folder = tmp_path / ("config" if name == "ontap-packages-exporter" else f"secrets/{name}")
        folder.mkdir(parents=True)
        for key, value in secret["data"].items():
            (folder / key).write_bytes(base64.b64decode(value))
        volumes[name] = folder
    assert set(volumes) == {"ontap-packages-exporter", "ontap-login"}
    assert len(ConfigFiles(tmp_path / "config" / "config.yaml", environ={}).load().clusters) == 1


def test_monitoring_brings_the_same_dashboards_and_rules_as_everybody_gets(tmp_path: Path) -> None:
    overlay = tmp_path / "kustomization.yaml"
    up = os.path.relpath(KUBERNETES, tmp_path.resolve())
    text = {"resources": [f"{up}/overlays/one"], "components": [f"{up}/components/monitoring"]}
    overlay.write_text(json.dumps(text))
    manifests = kustomize(tmp_path)
    assert [problem for manifest in manifests for problem in problems(manifest, NEWEST)] == []
    assert list(violations(manifests)) == []
    shipped = {
        name.removeprefix("ontap-packages-"): text
        for one in of_kind(manifests, "ConfigMap")
        for name, text in one["data"].items()
    }
    assert shipped == {
        file.name: file.read_text() for file in (ROOT / "grafana" / "dashboards").glob("*.json")
    }
    (rule,) = of_kind(manifests, "PrometheusRule")
    rules = sorted((ROOT / "deploy" / "prometheus" / "rules").glob("*.yaml"))
    groups = {one["name"]: one for file in rules for one in yaml.safe_load(file.read_text())["groups"]}
    assert {one["name"]: one for one in rule["spec"]["groups"]} == groups


@needs_schemas
@pytest.mark.parametrize("overlay", ["one", "shards", "replicas"])
def test_the_kustomization_of_the_documentation_can_be_built_on_every_overlay(
    overlay: str, tmp_path: Path
) -> None:
    section = (ROOT / "docs" / "kubernetes.md").read_text().partition("\n## Installing with kustomize\n")[2]
    (text,) = re.findall(r"```yaml\n(.*?)```", section.partition("\n## ")[0], re.DOTALL)
    checkout = os.path.relpath(ROOT, tmp_path.resolve())
    text = text.replace("../ontap-packages-exporter", checkout).replace("overlays/one", f"overlays/{overlay}")
    (tmp_path / "kustomization.yaml").write_text(text)
    (tmp_path / "config.yaml").write_text("clusters: [{address: 10.20.0.5}]\n")
    (tmp_path / "password").write_text("mine")
    manifests = kustomize(tmp_path)
    assert [problem for manifest in manifests for problem in problems(manifest, NEWEST)] == []
    assert list(violations(manifests)) == []
    assert {manifest["metadata"]["namespace"] for manifest in manifests} == {"monitoring"}
    (workload,) = of_kind(manifests, "StatefulSet") + of_kind(manifests, "Deployment")
    pod = workload["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == f"registry.example.com/ontap-packages-exporter:{exporter.__version__}"
    secrets = {secret["metadata"]["name"]: secret["data"] for secret in of_kind(manifests, "Secret")}
    mounted = [secrets[volume["secret"]["secretName"]] for volume in pod["volumes"] if "secret" in volume]
    plain = [{key: base64.b64decode(value).decode() for key, value in data.items()} for data in mounted]
    assert plain == [{"config.yaml": "clusters: [{address: 10.20.0.5}]\n"}, {"password": "mine"}]


def test_the_url_of_the_trial_database_has_its_password() -> None:
    secrets = of_kind(kustomize(KUBERNETES / "postgresql"), "Secret")
    plain = {
        key: base64.b64decode(value).decode() for secret in secrets for key, value in secret["data"].items()
    }
    assert plain["url"] == f"postgresql://ontap:{plain['POSTGRES_PASSWORD']}@postgresql:5432/ontap"
