"""Whatever a release and its values are called, Kubernetes takes names and labels, and text stays text."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from support.kubernetes import (
    CHART,
    EVERY_KIND,
    NEWEST,
    RELEASE,
    needs_helm,
    needs_schemas,
    of_kind,
    problems,
    render,
)
from support.policies import violations

pytestmark = needs_helm

VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
OF_A_SERVICE = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
OF_ANOTHER_OBJECT = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
OF_A_LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
LONGEST = 52
"""Of a StatefulSet: `-` and a hash of ten characters follow in a label."""


@pytest.mark.parametrize("mode", ["shards", "replicas"])
@pytest.mark.parametrize(
    ("release", "more"),
    [
        ("ontap.emea", {}),
        ("r" * 53, {}),
        (f"{'r' * 51}.r", {}),
        (f"{'r' * 20}.{'r' * 31}", {}),
        ("ontap", {"nameOverride": f"{'n' * 62}.n"}),
        ("ontap", {"nameOverride": "storage.packages"}),
        ("ontap", {"fullnameOverride": "storage.packages"}),
        ("ontap", {"fullnameOverride": "f" * 52}),
        ("ontap", {"fullnameOverride": f"{'f' * 51}.f"}),
        ("ontap", {"fullnameOverride": "f" * 63}),
        ("2024", {"fullnameOverride": "ontap"}),
    ],
)
def test_kubernetes_takes_all_names_and_labels(release: str, more: dict[str, Any], mode: str) -> None:
    manifests = render({**EVERY_KIND, "mode": mode, **more}, release=release)
    for manifest in manifests:
        metadata = manifest["metadata"]
        valid = OF_A_SERVICE if manifest["kind"] == "Service" else OF_ANOTHER_OBJECT
        assert valid.fullmatch(metadata["name"]), metadata["name"]
        assert all(OF_A_LABEL.fullmatch(value) for value in metadata["labels"].values()), metadata["labels"]
    (workload,) = of_kind(manifests, "StatefulSet") + of_kind(manifests, "Deployment")
    assert len(workload["metadata"]["name"]) <= LONGEST


def test_a_release_whose_name_begins_with_a_digit_needs_a_name_for_its_objects() -> None:
    import helm_python  # noqa: PLC0415 - there may be none

    with pytest.raises(helm_python.HelmError, match="choose one with fullnameOverride"):
        render(EVERY_KIND, release="2024")


@needs_schemas
@pytest.mark.parametrize("kind", ["Secret", "ConfigMap"])
@pytest.mark.parametrize("release", ["2024", "true"])
def test_what_yaml_would_read_as_a_number_stays_text(release: str, kind: str) -> None:
    labels = {"of": "1"}
    values = {
        **EVERY_KIND,
        "nameOverride": "2",
        "fullnameOverride": "null",
        "commonLabels": labels,
        "image": {"repository": "3", "tag": "4"},
        "imagePullSecrets": [{"name": "5"}],
        "config": {},
        "existingConfig": {"kind": kind, "name": "6", "key": "7"},
        "secrets": ["8"],
        "clusterFiles": ["9"],
        "postgresql": {"existingSecret": "10", "key": "11"},
        "persistence": {"enabled": True, "size": "12", "storageClassName": "13"},
        "web": {"existingSecret": "14", "key": "15", "routePrefix": "/16", "grafanaUrl": "https://g/:"},
        "service": {"annotations": labels},
        "serviceAccount": {"name": "17", "annotations": labels},
        "podMonitor": {**EVERY_KIND["podMonitor"], "job": "18", "interval": "0", "labels": labels},
        "prometheusRule": {"enabled": True, "labels": labels},
        "dashboards": {"enabled": True, "labels": labels, "annotations": labels},
        "podAnnotations": labels,
        "podLabels": labels,
        "nodeSelector": labels,
        "priorityClassName": "19",
    }
    manifests = render(values, release=release, namespace="20")
    assert [problem for manifest in manifests for problem in problems(manifest, NEWEST)] == []
    assert list(violations(manifests)) == []
    for manifest in manifests:
        metadata = manifest["metadata"]
        texts = [metadata["name"], metadata["namespace"], *metadata["labels"].values()]
        assert [text for text in texts if not isinstance(text, str)] == []
        assert metadata["labels"]["app.kubernetes.io/instance"] == release


def test_labels_of_the_values_replace_ours_but_not_those_that_selectors_ask_for() -> None:
    taken = {f"app.kubernetes.io/{name}": "mine" for name in ("name", "instance", "version")}
    more = {"labels": {**taken, "team": "of some"}}
    values = {
        **EVERY_KIND,
        "commonLabels": {**taken, "team": "of all"},
        "podLabels": more["labels"],
        "podMonitor": {**EVERY_KIND["podMonitor"], **more},
        "prometheusRule": {"enabled": True, **more},
        "dashboards": {"enabled": True, **more},
        "podAnnotations": {"kubectl.kubernetes.io/default-container": "mine", "checksum/config": "mine"},
    }
    manifests = render(values)
    assert list(violations(manifests)) == []
    (pod,) = (one["spec"]["template"] for one in of_kind(manifests, "StatefulSet"))
    assert set(pod["metadata"]["annotations"].values()) == {"mine"}
    some = {"PodMonitor", "ScrapeConfig", "PrometheusRule", "ConfigMap", "Pod"}
    for manifest in (*manifests, {"kind": "Pod", **pod}):
        labels = manifest["metadata"]["labels"]
        assert labels["team"] == ("of some" if manifest["kind"] in some else "of all")
        assert labels["app.kubernetes.io/instance"] == RELEASE
        assert labels["app.kubernetes.io/version"] == "mine"


@needs_schemas
def test_null_takes_a_default_away_and_leaves_nothing_behind() -> None:
    values = {
        **EVERY_KIND,
        "livenessProbe": dict.fromkeys(VALUES["livenessProbe"]),
        "readinessProbe": None,
        "commonLabels": None,
        "podLabels": None,
        "podAnnotations": None,
        "podMonitor": {**EVERY_KIND["podMonitor"], "labels": None, "endpoint": None},
        "dashboards": {"enabled": True, "labels": dict.fromkeys(VALUES["dashboards"]["labels"])},
    }
    manifests = render(values)
    assert [problem for manifest in manifests for problem in problems(manifest, NEWEST)] == []
    (workload,) = of_kind(manifests, "StatefulSet")
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    assert {*container["livenessProbe"], *container["readinessProbe"]} == {"httpGet"}
    maps = of_kind(manifests, "ConfigMap")
    assert all("grafana_dashboard" not in one["metadata"]["labels"] for one in maps)
