"""Renders manifests with Helm's own engine and kustomize, and checks them against Kubernetes' schemas."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from referencing import Registry, Resource

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "ontap-packages-exporter"
RELEASE = "ontap"
NAMESPACE = "monitoring"
OLDEST = "1.25.0"
NEWEST = "1.37.0"
# Values of the smallest release, and of one that has every kind of object.
MINIMUM: dict[str, Any] = {"config": {"clusters": [{"address": "10.20.0.5"}]}}
EVERY_KIND: dict[str, Any] = {
    **MINIMUM,
    "replicas": 2,
    "podMonitor": {"enabled": True, "perCluster": True},
    "prometheusRule": {"enabled": True},
    "dashboards": {"enabled": True},
    "networkPolicy": {"enabled": True},
}
_CRDS = ROOT / "tests" / "deploy" / "crds"

Manifest = dict[str, Any]

needs_helm = pytest.mark.skipif(find_spec("helm_python") is None, reason="helm-python-sdk has no wheel here")
needs_schemas = pytest.mark.skipif(
    find_spec("kubernetes_validate") is None, reason="kubernetes-validate is not installed"
)


def kubectl() -> str | None:
    """Return kubectl: beside this Python, else on the path."""
    return shutil.which("kubectl", path=str(Path(sys.executable).parent)) or shutil.which("kubectl")


needs_kubectl = pytest.mark.skipif(kubectl() is None, reason="kubectl is not installed")


def render(
    values: Mapping[str, Any], *, release: str = RELEASE, namespace: str = NAMESPACE
) -> list[Manifest]:
    """Render the chart with Helm's engine and return its manifests.

    Raises:
        helm_python.HelmError: the values are refused, or a template fails.
    """
    return [
        manifest
        for name, text in _rendered(values, release, namespace).items()
        if not name.endswith("NOTES.txt")
        for manifest in documents(text)
    ]


def notes(values: Mapping[str, Any], *, release: str = RELEASE) -> str:
    """Return what `helm install` prints."""
    return _rendered(values, release, NAMESPACE)[f"{CHART.name}/templates/NOTES.txt"]


def _rendered(values: Mapping[str, Any], release: str, namespace: str) -> dict[str, str]:
    import helm_python  # noqa: PLC0415 - there may be none

    with helm_python.Chart.load(CHART) as chart:
        chart.validate_schema(dict(values))
        rendered: dict[str, str] = chart.render(dict(values), name=release, namespace=namespace)
    return {name.removeprefix("./"): text for name, text in rendered.items()}


def kustomize(directory: Path) -> list[Manifest]:
    """Build a folder with kustomize and return its manifests."""
    program = kubectl()
    assert program is not None
    built = subprocess.run([program, "kustomize", directory], check=True, capture_output=True, text=True)
    return documents(built.stdout)


class _Loader(yaml.CSafeLoader):
    """Refuses a key that stands twice, of which Kubernetes would take either."""

    def construct_mapping(
        self,
        node: yaml.MappingNode,
        deep: bool = False,  # noqa: FBT001, FBT002 - as PyYAML has it
    ) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        assert len(set(keys)) == len(keys), f"a key stands twice: {keys}"
        return super().construct_mapping(node, deep)


def documents(text: str) -> list[Manifest]:
    """Return the documents of a YAML text that are not empty.

    Raises:
        AssertionError: a key stands twice in a mapping.
    """
    return [document for document in yaml.load_all(text, Loader=_Loader) if document]


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    """Return the manifests of one kind."""
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def problems(manifest: Manifest, version: str) -> Iterator[str]:
    """Yield what a version of Kubernetes has against a manifest; an unknown field is a mistake."""
    for error in _validator(manifest["apiVersion"], manifest["kind"], version).iter_errors(manifest):
        yield f"{manifest['kind']} {manifest['metadata']['name']}: {error.json_path}: {error.message}"


@cache
def _validator(api_version: str, kind: str, version: str) -> jsonschema.Draft202012Validator:
    crd = _CRDS / f"{kind.lower()}.yaml"
    if crd.exists():
        return jsonschema.Draft202012Validator(yaml.safe_load(crd.read_text()))
    group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", api_version)
    schema = json.loads((_schemas(version) / f"{kind.lower()}-{group}.json").read_text())
    return jsonschema.Draft202012Validator(schema, registry=_definitions(version))


@cache
def _definitions(version: str) -> Registry[Any]:
    definitions = json.loads((_schemas(version) / "_definitions.json").read_text())
    return Resource.from_contents(definitions) @ Registry()


def _schemas(version: str) -> Path:
    package = find_spec("kubernetes_validate")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent / "kubernetes-json-schema" / f"v{version}-local-strict"
