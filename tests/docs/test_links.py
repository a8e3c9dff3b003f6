"""Every relative link of the documentation leads to a file, and to a heading if it names one."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from docs.markdown import ROOT, anchors, links

PAGES = sorted(
    path.relative_to(ROOT)
    for pattern in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/**/*.md")
    for path in ROOT.glob(pattern)
)


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
