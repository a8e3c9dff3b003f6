"""Whatever a release and its values are called, the chart's names, labels and texts are those of Kubernetes."""

from __future__ import annotations

import re
from typing import Any

import pytest

from support.kubernetes import needs_helm, of_kind, render

pytestmark = needs_helm

EVERY_KIND: dict[str, Any] = {
    "replicas": 2,
    "config": {"clusters": [{"address": "10.20.0.5"}]},
    "podMonitor": {"enabled": True, "perCluster": True},
    "prometheusRule": {"enabled": True},
    "dashboards": {"enabled": True},
    "networkPolicy": {"enabled": True},
}
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
