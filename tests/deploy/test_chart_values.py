"""Which values the chart takes, and which it refuses with the reason."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.kubernetes import CHART, MINIMUM, needs_helm, of_kind, render

pytestmark = needs_helm

MOUNTED: dict[str, Any] = {
    "extraVolumes": [{"name": "journal", "persistentVolumeClaim": {"claimName": "journal"}}],
    "extraVolumeMounts": [{"name": "journal", "mountPath": "/journal"}],
}


def cleaning(state: str) -> dict[str, Any]:
    """Return values with a journal."""
    return {"config": {"cleanup": {"state": state, "policies": []}}}


def test_the_values_say_which_fields_the_endpoint_may_have_and_how_an_interval_is_written() -> None:
    monitor = json.loads((CHART / "values.schema.json").read_text())["properties"]["podMonitor"]["properties"]
    fields = monitor["endpoint"]["properties"]
    comment = (CHART / "values.yaml").read_text().partition("\n  endpoint:")[0].rpartition("\n")[2]
    assert set(re.findall(r"`(\w+)`", comment)) == {"web", *fields}
    crd = yaml.safe_load((Path(__file__).parent / "crds" / "podmonitor.yaml").read_text())
    patterns = {monitor["interval"]["pattern"], fields["scrapeTimeout"]["pattern"]}
    assert patterns == {crd["$defs"]["duration"]["pattern"]}


def test_further_arguments_are_refused_if_the_chart_sets_them_itself() -> None:
    import helm_python  # noqa: PLC0415 - there may be none

    web = {"existingSecret": "my-web", "externalUrl": "https://ontap.example.com/a", "routePrefix": "/a"}
    values = {**MINIMUM, "web": {**web, "grafanaUrl": "https://grafana.example.com"}}
    (workload,) = of_kind(render(values), "StatefulSet")
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    _, *own = (argument.partition("=")[0] for argument in container["args"])
    # Probes and monitors know where the pages are.
    for flag in (*own, "--web.listen-address", "--web.telemetry-path"):
        for argument in (flag, f"{flag}=x"):
            with pytest.raises(helm_python.HelmError, match="/extraArgs/0"):
                render({**MINIMUM, "extraArgs": [argument]})


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({}, "write the configuration in `config`"),
        ({**MINIMUM, "existingConfig": {"name": "mine"}}, "cannot both be set"),
        (
            {**MINIMUM, "mode": "replicas", "persistence": {"enabled": True}},
            "is for mode: shards",
        ),
        ({"config": {"cleanup": {"policies": []}}}, "needs a journal that survives a restart"),
        (
            {**cleaning("sqlite:////journal/state.db"), **MOUNTED, "mode": "replicas", "replicas": 2},
            "each replica would delete with a journal of its own",
        ),
        (
            {**cleaning("sqlite:////journal/state.db"), **MOUNTED, "mode": "replicas"},
            "each replica would delete with a journal of its own",
        ),
        (cleaning("sqlite:////tmp/state.db"), "would be lost with its pod"),
        ({**cleaning("sqlite:///state.db"), "persistence": {"enabled": True}}, "a relative path"),
        ({**cleaning("sqlite:///state.db"), **MOUNTED}, "a relative path"),
        (
            {
                **MINIMUM,
                "web": {"externalUrl": "https://ontap.example.com"},
                "podMonitor": {"enabled": True, "perCluster": True},
            },
            "externalUrl and podMonitor.perCluster cannot both be set",
        ),
        ({**MINIMUM, "web": {"grafanaUrl": "grafana.example.com"}}, "/web/grafanaUrl"),
        ({**MINIMUM, "fullnameOverride": "2024"}, "/fullnameOverride"),
        ({**MINIMUM, "replica": 3}, "additional properties 'replica' not allowed"),
        ({**MINIMUM, "mode": "sharded"}, "/mode"),
        ({**MINIMUM, "replicas": 0}, "/replicas"),
        ({**MINIMUM, "podMonitor": {"interval": "fast"}}, "/podMonitor/interval"),
        ({**MINIMUM, "podMonitor": {"interval": "1s1m"}}, "/podMonitor/interval"),
        ({**MINIMUM, "podMonitor": {"endpoint": {"port": "web"}}}, "/podMonitor/endpoint"),
        ({**MINIMUM, "secrets": ["Not_A_Name"]}, "/secrets/0"),
        ({**MINIMUM, "extraArgs": ["debug"]}, "/extraArgs/0"),
    ],
)
def test_values_that_cannot_work_are_refused(values: dict[str, Any], says: str) -> None:
    import helm_python  # noqa: PLC0415 - there may be none

    with pytest.raises(helm_python.HelmError, match=says):
        render(values)


@pytest.mark.parametrize(
    "values",
    [
        {**cleaning("sqlite:////journal/state.db"), **MOUNTED},
        {**cleaning("sqlite:///${FOLDER}/state.db"), **MOUNTED},
        {**cleaning("sqlite:////var/lib/ontap-packages-exporter/a.db"), "persistence": {"enabled": True}},
    ],
)
def test_a_journal_on_a_volume_may_be_in_sqlite(values: dict[str, Any]) -> None:
    assert of_kind(render(values), "StatefulSet")


def test_the_schema_knows_every_value() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())

    def compare(schema: dict[str, Any], values: dict[str, Any], path: str) -> None:
        known = set(schema["properties"]) - {"endpoint", "initialDelaySeconds", "successThreshold"}
        assert known == set(values) - {"endpoint"}, path
        for name, value in values.items():
            below = schema["properties"][name]
            if value and "properties" in below:
                compare(below, value, f"{path}.{name}")

    for of_helm in ("global", "enabled"):  # for a chart that is a part of another
        del schema["properties"][of_helm]
    compare(schema, defaults, "")
