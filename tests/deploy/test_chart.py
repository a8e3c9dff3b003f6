"""The Helm chart, rendered by Helm's own engine."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

import exporter
from exporter.cli import full_parser
from exporter.config import ConfigFiles
from exporter.web.site import parse_site
from support.kubernetes import (
    CHART,
    MINIMUM,
    NAMESPACE,
    NEWEST,
    OLDEST,
    RELEASE,
    ROOT,
    documents,
    needs_helm,
    needs_schemas,
    notes,
    of_kind,
    problems,
    render,
)
from support.policies import violations

pytestmark = needs_helm

VALUES = {
    path.stem: yaml.safe_load(path.read_text())
    for path in sorted(Path(__file__).parent.glob("values/*.yaml"))
}
APPLIED_BYTES = 256 * 1024

by_values = pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)


@by_values
@needs_schemas
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_kubernetes_takes_every_field_of_what_is_rendered(values: dict[str, Any], version: str) -> None:
    manifests = render(values)
    assert [problem for manifest in manifests for problem in problems(manifest, version)] == []
    assert {manifest["metadata"]["namespace"] for manifest in manifests} == {"monitoring"}


@by_values
def test_what_is_rendered_has_no_privileges_and_selects_its_own_pods(values: dict[str, Any]) -> None:
    assert list(violations(render(values))) == []


@by_values
def test_lint_finds_nothing(values: dict[str, Any]) -> None:
    import helm_python  # noqa: PLC0415 - there may be none

    report = helm_python.lint(CHART, values, strict=True)
    assert report["errors"] == []
    assert [message["error"] for message in report["messages"]] == ["icon is recommended"]


def test_versions_of_chart_image_and_program_are_one() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert {chart["version"], chart["appVersion"]} == {exporter.__version__}
    (workload,) = of_kind(render(MINIMUM), "StatefulSet")
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"ontap-packages-exporter:{exporter.__version__}"


def test_the_rules_are_those_of_everybody_else() -> None:
    (rule,) = of_kind(render({**MINIMUM, "prometheusRule": {"enabled": True}}), "PrometheusRule")
    files = sorted((ROOT / "deploy" / "prometheus" / "rules").glob("*.yaml"))
    groups = [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]
    assert rule["spec"]["groups"] == groups
    names = [group["name"] for group in groups]
    assert len(set(names)) == len(names)


def test_the_dashboards_are_those_of_everybody_else() -> None:
    maps = of_kind(render({**MINIMUM, "dashboards": {"enabled": True}}), "ConfigMap")
    files = {file.name: file.read_text() for file in (ROOT / "grafana" / "dashboards").glob("*.json")}
    shipped = {
        name.removeprefix("ontap-packages-"): text for one in maps for name, text in one["data"].items()
    }
    assert {name: json.loads(text) for name, text in shipped.items()} == {
        name: json.loads(text) for name, text in files.items()
    }
    assert all(one["metadata"]["labels"]["grafana_dashboard"] == "1" for one in maps)
    # `kubectl apply` keeps a copy in an annotation, which takes 256 KiB.
    assert max(len(json.dumps(one)) for one in maps) < APPLIED_BYTES


def test_the_packaged_chart_holds_the_same_rules_and_dashboards(tmp_path: Path) -> None:
    import helm_python  # noqa: PLC0415 - there may be none

    archive = helm_python.package(CHART, destination=tmp_path)
    with helm_python.Chart.load(archive) as packaged, helm_python.Chart.load(CHART) as chart:
        files = {file["name"]: file["data"] for file in packaged.files}
        assert files == {file["name"]: file["data"] for file in chart.files}
        assert packaged.version == exporter.__version__
    shipped = {name.rpartition("/")[2] for name in files if name.startswith("files/dashboards/")}
    assert shipped == {file.name for file in (ROOT / "grafana" / "dashboards").glob("*.json")}


def test_clusters_are_found_and_scraped_with_the_login_of_the_pods() -> None:
    manifests = render(VALUES["shards-with-web"])
    (monitor,) = of_kind(manifests, "PodMonitor")
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    login = {name: endpoint[name] for name in ("tlsConfig", "authorization")}
    for config in of_kind(manifests, "ScrapeConfig"):
        for asked in (config["spec"], *config["spec"]["httpSDConfigs"]):
            assert {name: asked[name] for name in login} == login
        assert config["spec"]["scrapeTimeout"] == endpoint["scrapeTimeout"] == "20s"


def test_the_chart_can_be_a_part_of_another_chart(tmp_path: Path) -> None:
    import helm_python  # noqa: PLC0415 - there may be none

    dependency = {"name": CHART.name, "version": exporter.__version__, "condition": f"{CHART.name}.enabled"}
    parent = {"apiVersion": "v2", "name": "parent", "version": "1.0.0", "dependencies": [dependency]}
    (tmp_path / "Chart.yaml").write_text(json.dumps(parent))
    shutil.copytree(CHART, tmp_path / "charts" / CHART.name)
    values = {CHART.name: {**MINIMUM, "enabled": True}, "global": {"imageRegistry": "registry.example.com"}}
    with helm_python.Chart.load(tmp_path) as chart:
        chart.validate_schema(values)
        rendered = chart.render(values, name=RELEASE, namespace=NAMESPACE)
    texts = (text for name, text in rendered.items() if not name.endswith("NOTES.txt"))
    manifests = [manifest for text in texts for manifest in documents(text)]
    assert list(violations(manifests)) == []
    assert sorted(map(json.dumps, manifests)) == sorted(map(json.dumps, render(MINIMUM)))


def test_a_prefix_is_in_every_path_that_is_asked_for() -> None:
    manifests = render(VALUES["shards-per-cluster"])
    (workload,) = of_kind(manifests, "StatefulSet")
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    assert "--web.route-prefix=/ontap" in container["args"]
    probes = [container[probe]["httpGet"]["path"] for probe in ("livenessProbe", "readinessProbe")]
    assert probes == ["/ontap/-/healthy", "/ontap/-/ready"]
    (monitor,) = of_kind(manifests, "PodMonitor")
    assert monitor["spec"]["podMetricsEndpoints"][0]["path"] == "/ontap/metrics"
    for config in of_kind(manifests, "ScrapeConfig"):
        assert config["spec"]["metricsPath"] == "/ontap/probe"
        assert config["spec"]["httpSDConfigs"][0]["url"].endswith(":10910/ontap/sd")


@pytest.mark.parametrize(
    ("web", "prefix"),
    [
        ({"externalUrl": "https://ontap.example.com"}, ""),
        ({"externalUrl": "https://ontap.example.com/exporter/"}, "/exporter"),
        ({"externalUrl": "https://ontap.example.com/exporter", "routePrefix": "/"}, ""),
        ({"externalUrl": "https://ontap.example.com/exporter", "routePrefix": "/a/b"}, "/a/b"),
    ],
)
def test_behind_a_proxy_the_pods_are_asked_at_the_paths_that_the_program_serves(
    web: dict[str, str], prefix: str
) -> None:
    manifests = render({**MINIMUM, "web": web, "podMonitor": {"enabled": True}})
    (workload,) = of_kind(manifests, "StatefulSet")
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    parsed = full_parser().parse_args(container["args"])
    assert parse_site(parsed.external_url, parsed.route_prefix).prefix == prefix
    assert container["livenessProbe"]["httpGet"]["path"] == f"{prefix}/-/healthy"
    (monitor,) = of_kind(manifests, "PodMonitor")
    assert monitor["spec"]["podMetricsEndpoints"][0]["path"] == f"{prefix}/metrics"


@by_values
def test_the_program_takes_the_arguments_of_the_pods(values: dict[str, Any]) -> None:
    (workload,) = [one for one in render(values) if one["kind"] in {"StatefulSet", "Deployment"}]
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    parsed = full_parser().parse_args(container["args"])
    site = parse_site(parsed.external_url, parsed.route_prefix, parsed.grafana_url)
    assert (str(site.grafana) == "https://grafana.example.com/") == ("grafanaUrl" in values.get("web", {}))


def test_the_names_of_shards_are_asked_at_the_port_of_the_pods() -> None:
    """A headless service forwards nothing: its names are addresses of pods."""
    values = {**MINIMUM, "podMonitor": {"enabled": True, "perCluster": True}, "service": {"port": 80}}
    for mode, port in (("shards", 10910), ("replicas", 80)):
        manifests = render({**values, "mode": mode})
        (service,) = of_kind(manifests, "Service")
        assert [one["port"] for one in service["spec"]["ports"]] == [port]
        (config,) = of_kind(manifests, "ScrapeConfig")
        assert config["spec"]["httpSDConfigs"][0]["url"].endswith(f".svc:{port}/sd")


@pytest.mark.parametrize(
    ("values", "ports"),
    [
        (MINIMUM, []),
        (VALUES["replicas"], [5432]),
        (VALUES["replicas-behind-a-proxy"], [6432]),
        (VALUES["one-process-cleaning"], []),
        ({"config": {"cleanup": {"state": "${DATABASE}", "policies": []}}}, [5432]),
        ({**VALUES["one-process-cleaning"], "config": {"cleanup": {"state": "sqlite:////a/b"}}}, []),
    ],
)
def test_a_network_policy_lets_out_to_the_journal(values: dict[str, Any], ports: list[int]) -> None:
    (policy,) = of_kind(render({**values, "networkPolicy": {"enabled": True}}), "NetworkPolicy")
    open_ports = [port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]]
    assert open_ports == [53, 53, 443, *ports]


def test_openshift_may_choose_the_user() -> None:
    context = {"runAsUser": None, "runAsGroup": None, "fsGroup": None}
    (workload,) = of_kind(render({**MINIMUM, "podSecurityContext": context}), "StatefulSet")
    assert set(workload["spec"]["template"]["spec"]["securityContext"]) == {
        "runAsNonRoot",
        "seccompProfile",
        "fsGroupChangePolicy",
    }


@by_values
def test_a_configuration_of_the_values_is_one_that_the_program_takes(
    values: dict[str, Any], tmp_path: Path
) -> None:
    secrets = of_kind(render(values), "Secret")
    if "existingConfig" in values:
        assert secrets == []
        return
    (secret,) = secrets
    pod = tmp_path / "config"
    pod.mkdir()
    (pod / "config.yaml").write_text(secret["stringData"]["config.yaml"])
    for name in values.get("secrets", []):
        (tmp_path / "secrets" / name).mkdir(parents=True)
        (tmp_path / "secrets" / name / "password").write_text("secret")
        trustme.CA().cert_pem.write_to_path(tmp_path / "secrets" / name / "ca.pem")
    for name in values.get("clusterFiles", []):
        (tmp_path / "clusters" / name).mkdir(parents=True)
        (tmp_path / "clusters" / name / "clusters.yaml").write_text(f"[{{address: {name}.example.com}}]")
    environ = {
        "JOURNAL_URL": "postgresql://ontap@db/ontap",
        "ONTAP_PASSWORD": "secret",
        "POD_NAME": "ontap-0",
    }
    config = ConfigFiles(pod / "config.yaml", environ=environ).load()
    assert len(config.clusters) == len(values["config"].get("clusters", [])) + len(
        values.get("clusterFiles", [])
    )
    assert (config.cleanup is not None) == ("cleanup" in values["config"])


def test_the_notes_name_what_there_is() -> None:
    shards = notes({**VALUES["shards"], "podMonitor": {"enabled": True}})
    assert "3 shard(s) in monitoring" in shards
    assert "port-forward pod/ontap-ontap-packages-exporter-0 10910:10910" in shards
    pods = "-l app.kubernetes.io/name=ontap-packages-exporter,app.kubernetes.io/instance=ontap -o name"
    assert pods in shards  # each has a journal, and a kill switch, of its own
    assert """exec "$pod" -- sh -c 'kill -USR1 1'""" in shards
    assert "does not know this exporter yet" not in shards
    replicas = notes(VALUES["replicas-with-web"])
    assert "port-forward service/ontap-ontap-packages-exporter 10910:443" in replicas
    assert "https://localhost:10910/" in replicas
    assert "rollout restart deployment/ontap-ontap-packages-exporter" in replicas
    assert "does not know this exporter yet" in notes(MINIMUM)
    secured = {**MINIMUM, "web": {"existingSecret": "my-web"}, "podMonitor": {"enabled": True}}
    assert "in podMonitor.endpoint" in notes(secured)
    assert "in podMonitor.endpoint" not in replicas
    assert "localhost:10910/exporter/" in notes(VALUES["replicas-behind-a-proxy"])
