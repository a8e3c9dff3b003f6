"""Every relative link of the documentation leads to a file, and to a heading if it names one."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from support.markdown import ROOT, anchors, links

PAGES = sorted(
    path.relative_to(ROOT)
    for pattern in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/**/*.md")
    for path in ROOT.glob(pattern)
)
# In pages of the site, a file outside of docs is no link but a path in backticks.
DOCS = [page for page in PAGES if page.parts[0] == "docs"]
_PATH = re.compile(r"`((?:\.ci|benchmarks|deploy|docs|exporter|grafana|requirements|tests)/[\w./-]+)`")


def broken(page: Path, text: str) -> list[str]:
    """Return the links of a page that lead nowhere."""
    found = []
    for link in links(text):
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = (ROOT / page).parent / unquote(parts.path) if parts.path else ROOT / page
        leads = target.resolve().is_relative_to(ROOT) and target.exists()
        if leads and parts.fragment:
            leads = target.is_file() and unquote(parts.fragment) in anchors(
                target.read_text(encoding="utf-8")
            )
        if not leads:
            found.append(link)
    return found


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_link_leads_somewhere(page: Path) -> None:
    assert broken(page, (ROOT / page).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("page", DOCS, ids=str)
def test_a_page_of_the_site_links_to_pages_of_the_site(page: Path) -> None:
    targets = [urlsplit(link) for link in links((ROOT / page).read_text(encoding="utf-8"))]
    inside = ROOT / "docs"
    outside = [
        target.path
        for target in targets
        if target.path and not (target.scheme or target.netloc)
        if not ((ROOT / page).parent / unquote(target.path)).resolve().is_relative_to(inside)
    ]
    assert outside == []


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    named = _PATH.findall((ROOT / page).read_text(encoding="utf-8"))
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_a_file_that_does_not_exist_would_be_found() -> None:
    assert _PATH.findall("`deploy/nothing.yaml`, `ontap_up` and `tests/docs/`") == [
        "deploy/nothing.yaml",
        "tests/docs/",
    ]


def test_the_pages_that_operators_begin_with_are_checked() -> None:
    assert {Path("README.md"), Path("docs/metrics.md"), Path("docs/configuration.md")} <= set(PAGES)


@pytest.mark.parametrize(
    "link",
    [
        "nowhere.md",
        "docs/metrics.md#nothing",
        "#nothing",
        "../outside.md",
        "docs#anchor",
        "docs/nothing/",
    ],
)
def test_a_link_that_leads_nowhere_is_found(link: str) -> None:
    assert broken(Path("README.md"), f"# Some thing\n\nSee [this]({link}).") == [link]


def test_a_link_in_code_is_none() -> None:
    assert links("`[a](b)`\n\n```\n[a](b)\n```\n[c](d) and [e](f#g)") == ["d", "f#g"]


def test_anchors_are_those_of_github() -> None:
    assert anchors("# TLS\n## After `Retry-After`\n## What's kept?\n## TLS\n```\n# no heading\n```") == {
        "tls",
        "after-retry-after",
        "whats-kept",
        "tls-1",
    }
