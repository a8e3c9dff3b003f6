"""The committed files are those that the code writes, and Grafana finds its way between them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from ontap_dashboards import catalogue
from ontap_mixin.settings import FILE, Settings, load
from support.dashboards.boards import DASHBOARDS, DIRECTORY, ROOT, panels, variables, variables_in

PROVISIONING = ROOT / "grafana" / "provisioning"
UIDS = {"ontap-packages-fleet", "ontap-packages-cluster", "ontap-packages-cleanup", "ontap-packages-exporter"}


def links(dashboard: Any) -> list[str]:
    """Give where the values and titles of a dashboard's panels lead."""
    found = [link["url"] for panel in panels(dashboard) for link in panel.get("links") or ()]
    for panel in panels(dashboard):
        for override in panel.get("fieldConfig", {}).get("overrides", ()):
            for entry in override["properties"]:
                if entry["id"] == "links":
                    found += [link["url"] for link in entry["value"]]
    return found


def test_the_committed_dashboards_are_those_that_the_code_writes() -> None:
    committed = {path.name: path.read_text(encoding="utf-8") for path in DIRECTORY.iterdir()}
    assert committed == catalogue.files(load()), "run `make mixin`"


def test_alerts_and_reasons_lead_to_pages_that_are_there() -> None:
    base = load().runbook_base
    pages = {
        url.removeprefix(base) for one in DASHBOARDS.values() for url in links(one) if url.startswith(base)
    }
    assert pages == {"OntapClusterDown.md", "${__value.raw}.md"}
    assert (ROOT / "docs" / "runbooks" / "OntapClusterDown.md").is_file()


def test_further_links_are_on_every_dashboard() -> None:
    further = [{"title": "Harvest", "tag": "harvest"}, {"title": "Wiki", "url": "https://wiki.example.org/"}]
    document = {**yaml.safe_load(FILE.read_text(encoding="utf-8")), "links": further}
    for text in catalogue.files(Settings.model_validate(document)).values():
        named = {link["title"]: link for link in json.loads(text)["links"]}
        assert named["Harvest"]["tags"] == ["harvest"]
        assert named["Wiki"]["url"] == "https://wiki.example.org/"


@pytest.mark.parametrize(
    ("threshold", "shown"),
    [
        ("certificate_days", "4711 * 86400"),
        ("certificate_days", '"value": 4711.0'),
        ("clock_skew_seconds", '"value": 4711.0'),
        ("cleanup_overdue_hours", "4711 * 3600"),
        ("unused_package_age_days", '"value": 4711.0'),
        ("unused_package_age_days", '"text": "4711 days"'),
        ("unused_package_age_days", "Unused over 4711 d"),
    ],
)
def test_a_threshold_of_the_rules_is_that_of_the_dashboards(threshold: str, shown: str) -> None:
    document = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    document["thresholds"][threshold] = 4711
    before = "".join(catalogue.files(load()).values())
    after = "".join(catalogue.files(Settings.model_validate(document)).values())
    assert shown not in before
    assert shown in after


def test_what_counts_all_clusters_although_some_are_chosen_says_so() -> None:
    counted = [
        panel
        for panel in panels(DASHBOARDS["cleanup"])
        if any("job_policy_outcome:ontap_cleanup_jobs:delta2m" in one["expr"] for one in panel["targets"])
    ]
    assert counted
    assert [panel["title"] for panel in counted if "all clusters" not in panel["title"]] == []


def test_identities_last() -> None:
    assert {dashboard["uid"] for dashboard in DASHBOARDS.values()} == UIDS


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_is_tagged_and_keeps_itself_up_to_date(name: str) -> None:
    dashboard = DASHBOARDS[name]
    assert "ontap-packages-exporter" in dashboard["tags"]
    assert dashboard["timezone"] == "browser"
    assert re.fullmatch(r"\d+[sm]", dashboard["refresh"])
    assert dashboard["time"]["to"] == "now"


@pytest.mark.parametrize("name", DASHBOARDS)
def test_links_between_dashboards_keep_variables_and_time(name: str) -> None:
    link = DASHBOARDS[name]["links"][0]
    assert link["tags"] == ["ontap-packages-exporter"]
    assert link["includeVars"]
    assert link["keepTime"]


@pytest.mark.parametrize("name", DASHBOARDS)
def test_values_lead_to_dashboards_that_are_there_and_keep_the_time(name: str) -> None:
    for url in links(DASHBOARDS[name]):
        if url.startswith(load().runbook_base):
            continue
        assert url.removeprefix("/d/").partition("?")[0] in UIDS
        assert "${__url_time_range}" in url
        assert "${datasource:queryparam}" in url
        mine = {name for name in variables_in(url) if not name.startswith("__")}
        assert mine <= set(variables(DASHBOARDS[name]))


def test_clusters_in_tables_lead_to_their_dashboard() -> None:
    assert any("var-cluster=${__value.raw:percentencode}" in url for url in links(DASHBOARDS["fleet"]))


def test_provisioning_points_at_the_dashboards() -> None:
    (provider,) = yaml.safe_load((PROVISIONING / "dashboards" / "ontap-packages.yaml").read_text())[
        "providers"
    ]
    assert provider["type"] == "file"
    assert provider["allowUiUpdates"] is False
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards/ontap-packages"


def test_provisioning_brings_a_prometheus() -> None:
    text = (PROVISIONING / "datasources" / "prometheus.yaml").read_text()
    (datasource,) = yaml.safe_load(text)["datasources"]
    assert datasource["type"] == "prometheus"
    assert datasource["jsonData"]["timeInterval"]
