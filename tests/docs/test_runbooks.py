"""Every alert has a page that says what to do, and what the pages name exists."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from support.markdown import ROOT, anchors, code, links, rows
from support.prometheus import needs_prometheus
from support.rules import RUNBOOKS, SERVED, alerts, recorded

INDEX = (RUNBOOKS / "README.md").read_text(encoding="utf-8")
PAGES = sorted(path for path in RUNBOOKS.glob("*.md") if path.name != "README.md")
SECTIONS = ["meaning", "impact", "first-look", "fix"]
SOURCE = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "exporter").rglob("*.py"))
_METRIC = re.compile(r"(?<![\w:/-])(?:\w+:)?ontap_[a-z_]+(?::[\w:]+)?")
_QUERIES = re.compile(r"```promql\n(.*?)```", re.DOTALL)
_MESSAGE = re.compile(r'msg="([^"]+)"')


def test_every_alert_has_a_page_and_no_other_is_there() -> None:
    assert {path.stem for path in PAGES} == set(alerts())


def test_the_index_names_every_alert_with_its_severity() -> None:
    table = rows(INDEX, "alert")
    named = {links(row["alert"])[0].removesuffix(".md"): code(row["severity"]) for row in table}
    assert named == {name: rule.text["labels"]["severity"] for name, rule in alerts().items()}
    assert len(table) == len(named)
    assert all(cell for row in table for cell in row.values())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_says_what_to_do(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# {page.stem}\n")
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert [next(iter(anchors(f"## {heading}"))) for heading in headings] == SECTIONS
    parts = re.split(r"^## .+$", text, flags=re.MULTILINE)[1:]
    assert all(part.strip() for part in parts)
    assert "```" in parts[SECTIONS.index("first-look")]


@pytest.mark.parametrize("page", [*PAGES, RUNBOOKS / "README.md"], ids=lambda page: page.stem)
def test_metrics_and_log_lines_of_a_page_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert set(_METRIC.findall(text)) <= SERVED | set(recorded())
    assert [phrase for phrase in _MESSAGE.findall(text) if f'"{phrase}"' not in SOURCE] == []


@needs_prometheus
def test_every_query_of_the_pages_is_promql(tmp_path: Path) -> None:
    blocks = [block for page in PAGES for block in _QUERIES.findall(page.read_text(encoding="utf-8"))]
    queries = [query for block in blocks for query in block.splitlines()]
    assert len(queries) > len(PAGES)
    listed = [{"record": f"q{number}", "expr": query} for number, query in enumerate(queries)]
    file = tmp_path / "queries.yaml"
    file.write_text(json.dumps({"groups": [{"name": "queries", "rules": listed}]}))
    done = subprocess.run(["promtool", "check", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_does_not_exist_would_be_noticed() -> None:
    assert _METRIC.findall("`ontap_nothing` and a:ontap_up:b") == ["ontap_nothing", "a:ontap_up:b"]
    assert _MESSAGE.findall('level=info msg="nothing happened" x=1') == ["nothing happened"]
