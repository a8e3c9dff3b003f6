"""Reads as much of Markdown as the tests of the documentation need: tables, links and headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]

_FENCE = re.compile(r"^ {0,3}(```|~~~)")
_CODE = re.compile(r"`[^`]*`")
_LINK = re.compile(r"(?<!!)\[(?:\\.|[^\]\\])*\]\(([^()\s]+)\)")
_HEADING = re.compile(r"#{1,6} +(.*?)(?: +#+)?$")
_ESCAPE = re.compile(r"\\([!-/:-@\[-`{-~])")
_CELLS = re.compile(r"(?<!\\)\|")


def prose(text: str) -> Iterator[str]:
    """Give the lines outside of fenced code."""
    fence = ""
    for line in text.splitlines():
        if match := _FENCE.match(line):
            fence = "" if fence == match[1] else fence or match[1]
        elif not fence:
            yield line


def links(text: str) -> list[str]:
    """Return the targets of all links, those in code left out."""
    return [target for line in prose(text) for target in _LINK.findall(_CODE.sub("", line))]


def anchors(text: str) -> set[str]:
    """Return the anchors of all headings, as GitHub makes them."""
    found: set[str] = set()
    for line in prose(text):
        if match := _HEADING.match(line):
            words = _ESCAPE.sub(r"\1", match[1]).replace("`", "").lower()
            anchor = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
            unique, count = anchor, 0
            while unique in found:
                count += 1
                unique = f"{anchor}-{count}"
            found.add(unique)
    return found


def rows(text: str, first: str) -> list[dict[str, str]]:
    """Return the rows of every table whose first column is named so, each by the names of its columns."""
    found: list[dict[str, str]] = []
    names: list[str] | None = None
    for line in prose(text):
        if not line.startswith("|"):
            names = None
            continue
        cells = [cell.strip() for cell in _CELLS.split(line.strip())[1:-1]]
        if names is None:
            names = cells
        elif names[0] == first and not all(set(cell) <= set(":-") for cell in cells):
            found.append(dict(zip(names, cells, strict=True)))
    return found


def code(cell: str) -> str:
    """Return the text in backticks of a cell that holds nothing else.

    Raises:
        ValueError: the cell holds something else.
    """
    if not re.fullmatch(r"`[^`]+`", cell):
        raise ValueError(f"no single word of code: {cell!r}")
    return cell.strip("`")
