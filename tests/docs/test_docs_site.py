"""`make docs` builds every page of ``docs`` as a site that asks no other host for anything."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.markdown import ROOT

DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(DOCS) for path in DOCS.rglob("*.md"))
# What a browser fetches by itself; a link that a person follows is not.
_FETCHED = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]*\ssrc=["']?(?:https?:)?//[^"'>\s]*"""
    r"""|<link\b(?![^>]*rel=["']?canonical)[^>]*\shref=["']?(?:https?:)?//[^"'>\s]*"""
    r"""|@import[^;]*//[^;]*|url\(["']?(?:https?:)?//[^)]*"""
)


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    """Build the site in a copy, as `make docs` does."""
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def copy(folder: Path) -> Path:
    shutil.copytree(DOCS, folder / "docs")
    shutil.copy(ROOT / "zensical.toml", folder)
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copy(tmp_path_factory.mktemp("docs-site"))
    done = build(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "site"


def test_the_site_has_every_page(site: Path) -> None:
    made = {str(path.relative_to(site)) for path in site.rglob("*.html")}
    expected = {str(page.with_suffix(".html")).replace("README.html", "index.html") for page in PAGES}
    assert expected <= made


def test_tables_and_nested_lists_are_shown_as_such(site: Path) -> None:
    raw = re.compile(r"<p>\||^\|[ -]|<li>[^<]*\n *(?:-|\d+\.) ", re.MULTILINE)
    pages = {path.name: path.read_text(encoding="utf-8") for path in site.rglob("*.html")}
    shown = {name: re.sub(r"<pre.*?</pre>", "", text, flags=re.DOTALL) for name, text in pages.items()}
    assert [name for name, text in shown.items() if raw.search(text)] == []
    assert shown["cleanup-decide.html"].count("<ol>") > 1


def test_the_site_asks_no_other_host_for_anything(site: Path) -> None:
    files = [path for path in site.rglob("*") if path.suffix in {".html", ".css", ".svg"}]
    asked = {
        str(path.relative_to(site)): found
        for path in files
        if (found := _FETCHED.findall(path.read_text(encoding="utf-8")))
    }
    assert len(files) > len(PAGES)
    assert asked == {}


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://a.example/x.js">',
        '<link rel="stylesheet" href="//a.example/x.css">',
        "<img class=x src='http://a.example/x.png'>",
        '@import "https://a.example/x.css";',
        "src: url(https://a.example/x.woff2)",
    ],
)
def test_a_request_to_another_host_would_be_found(text: str) -> None:
    assert _FETCHED.findall(text)


def test_a_link_or_an_anchor_that_leads_nowhere_fails_the_build(tmp_path: Path) -> None:
    folder = copy(tmp_path)
    with (folder / "docs" / "index.md").open("a", encoding="utf-8") as page:
        page.write("\n[page](no-page.md) and [anchor](metrics.md#no-anchor)\n")
    done = build(folder)
    said = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)
    assert done.returncode != 0
    assert "no-page.md" in said
    assert "#no-anchor" in said


def test_the_navigation_names_every_page_but_the_runbooks_of_the_alerts() -> None:
    config = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))
    named = list(leaves(config["project"]["nav"]))
    assert len(named) == len(set(named))
    assert set(named) == {
        str(page) for page in PAGES if page.parent != Path("runbooks") or page.name == "README.md"
    }


def leaves(entry: Any) -> Iterator[str]:
    """Give the pages of a navigation."""
    if isinstance(entry, str):
        yield entry
    else:
        for inner in entry.values() if isinstance(entry, dict) else entry:
            yield from leaves(inner)
