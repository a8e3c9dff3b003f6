"""Plans for people: grouped tables on a terminal, and lines that name everything elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import groupby
from typing import TYPE_CHECKING

from exporter import terminal
from exporter.cleanup.decide.plan import Decision, Verdict
from exporter.planning.fleet_plans import ClusterPlan, Plans
from exporter.terminal import counted

if TYPE_CHECKING:
    from rich.table import Column

_SUMMARY = ("PACKAGES", "DELETE", "KEEP", "WAIT")
_PACKAGES = ("VERSION", "AGE", "VERDICT", "REASON")
_NARROWEST_VERSION = 12
_BESIDE_VERSION = 40
"""This many columns a long version leaves for the rest of its line."""
_STYLES = {"delete": "red"}

Row = tuple[str, ...]
Listed = Sequence[tuple[ClusterPlan, Sequence[Row]]]
"""Plans, and what is written of each under the headings of packages."""


def write_plans(plans: Plans, *, is_verbose: bool) -> None:
    """Write plans to standard output.

    Several clusters are summed up first, those with a problem before the others; of these, kept packages are
    then summed up by reason, unless ``is_verbose``. Of a single cluster, every package is listed.
    """
    is_alone = len({one.cluster for one in plans.plans}) == 1
    is_terminal = sys.stdout.isatty()
    listed = [
        (one, list(_rows(one, is_verbose=is_verbose or is_alone, has_names=not is_terminal)))
        for one in plans.plans
    ]
    write = _write_grouped if is_terminal else _write_lines
    write(listed, has_summary=not is_alone and bool(listed))
    if not is_alone and listed:
        terminal.write()
        terminal.write(_in_total(plans))


def _note(one: ClusterPlan) -> tuple[str, str]:
    """Return the verdict on all packages and why; nothing if each has its own."""
    if one.plan.problem:
        return "KEEP ALL", one.plan.problem
    return ("", "") if one.plan.decisions else ("-", "the repository is empty")


def _rows(one: ClusterPlan, *, is_verbose: bool, has_names: bool) -> Iterator[Row]:
    """Yield the rows of one plan: what is deleted, then what is kept, by reason unless ``is_verbose``.

    With ``has_names``, a row of several packages names them, so that a search for a version finds it.
    """
    kept = [decision for decision in one.plan.decisions if decision.verdict is Verdict.KEEP]
    if not is_verbose:
        kept.sort(key=lambda decision: decision.detail)
    yield from map(_row, one.plan.chosen)
    for detail, some in groupby(kept, key=lambda decision: decision.detail):
        decisions = list(some)
        if is_verbose or len(decisions) == 1:
            yield from map(_row, decisions)
        else:
            names = f": {', '.join(decision.version for decision in decisions)}" if has_names else ""
            yield (counted(len(decisions), "package"), "-", str(Verdict.KEEP), f"{detail}{names}")


def _row(decision: Decision) -> Row:
    age = "unknown"
    if decision.age_seconds is not None:
        age = f"{timedelta(seconds=decision.age_seconds).days} d"
    return (decision.version, age, str(decision.verdict), decision.detail)


def _subject(one: ClusterPlan) -> tuple[str, str]:
    return one.cluster, one.policy.name + (" (dry run)" if one.policy.dry_run else "")


def _counts(one: ClusterPlan) -> Row:
    if one.plan.problem and not one.plan.decisions:
        return ("-",) * len(_SUMMARY)
    counts = (len(one.plan.decisions), len(one.plan.chosen), one.kept, one.waiting)
    return tuple(map(str, counts))


def _problems_first(listed: Listed) -> list[ClusterPlan]:
    return sorted((one for one, _ in listed), key=lambda one: not one.plan.problem)


def _in_total(plans: Plans) -> str:
    clusters = len({one.cluster for one in plans.plans})
    deleted = sum(len(one.plan.chosen) for one in plans.plans)
    kept, waiting = (sum(one.kept for one in plans.plans), sum(one.waiting for one in plans.plans))
    failed = sum(bool(one.plan.problem) for one in plans.plans)
    text = f"{counted(clusters, 'cluster')}: {counted(deleted, 'package')} would be deleted, "
    return text + f"{kept} kept, {waiting} waiting" + (f"; {counted(failed, 'problem')}" if failed else "")


def _write_lines(listed: Listed, *, has_summary: bool) -> None:
    """Write rows that name cluster and policy, one line each, whatever their length."""
    if has_summary:
        rows: list[Row] = [("CLUSTER", "POLICY", *_SUMMARY, "NOTE")]
        for one in _problems_first(listed):
            note = ": ".join(part for part in _note(one) if part.strip("-"))
            rows.append((*_subject(one), *_counts(one), note))
        _write_aligned(rows)
        terminal.write()
    rows = [("CLUSTER", "POLICY", *_PACKAGES)]
    for one, packages in listed:
        note_rows = [("-", "-", *_note(one))] if any(_note(one)) and not has_summary else []
        rows += [(*_subject(one), *row) for row in (*note_rows, *packages)]
    _write_aligned(rows)


def _write_aligned(rows: Sequence[Sequence[str]]) -> None:
    safe = [[terminal.escaped(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*safe, strict=True)]
    for row in safe:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        sys.stdout.write("  ".join(cells).rstrip() + "\n")


def _write_grouped(listed: Listed, *, has_summary: bool) -> None:
    """Write problems, a summary and then a table for each plan, in the width of the terminal."""
    problems = [one for one, _ in listed if one.plan.problem]
    for one in problems:
        terminal.write((f"{'  '.join(_subject(one))}  KEEP ALL", "bold red"))
        terminal.write(f"  {one.plan.problem}")
    if has_summary:
        if problems:
            terminal.write()
        _write_summary(_problems_first(listed))
    widths = _widths([row for _, rows in listed for row in rows])
    for index, (one, rows) in enumerate(listed):
        if rows or not (has_summary or one.plan.problem):
            if has_summary or index:
                terminal.write()
            _write_packages(one, rows, widths=widths)


def _write_summary(ordered: Sequence[ClusterPlan]) -> None:
    from rich.table import Column  # noqa: PLC0415 - only terminals need it

    subject = [Column(heading, overflow="fold") for heading in ("CLUSTER", "POLICY")]
    counts = [Column(heading, width=len(heading), justify="right") for heading in _SUMMARY]
    rows = [(*_subject(one), *_counts(one)) for one in ordered]
    _write_table([*subject, *counts], rows, has_header=True)


def _widths(rows: Sequence[Row]) -> list[int]:
    """Return how wide every column but the last is; a version is folded if it would take all space."""
    from rich.cells import cell_len  # noqa: PLC0415 - only terminals need it

    cells = ([cell_len(terminal.escaped(cell)) for cell in row[:-1]] for row in rows)
    version, *others = map(max, zip(*cells, strict=True)) if rows else (1, 1, 1)
    room = terminal.console(sys.stdout).width - _BESIDE_VERSION
    return [min(version, max(room, _NARROWEST_VERSION)), *others]


def _write_packages(one: ClusterPlan, rows: Sequence[Row], *, widths: Sequence[int]) -> None:
    from rich.table import Column  # noqa: PLC0415 - only terminals need it

    counts = f"{len(one.plan.chosen)} of {counted(len(one.plan.decisions), 'package')} would be deleted"
    terminal.write(("  ".join(_subject(one)), "bold"), f": {counts if rows else _note(one)[1]}")
    version, age, verdict = (Column(width=width, overflow="fold") for width in widths)
    age.justify = "right"
    # Only the last column gives way: rich would crop the others to less than what they need.
    _write_table([version, age, verdict, Column(overflow="fold")], rows, indent=2)


def _write_table(
    columns: Sequence[Column], rows: Sequence[Row], *, has_header: bool = False, indent: int = 0
) -> None:
    from rich.padding import Padding  # noqa: PLC0415 - only terminals need it
    from rich.table import Table  # noqa: PLC0415 - likewise
    from rich.text import Text  # noqa: PLC0415 - likewise

    table = Table(
        *columns, box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=has_header, header_style="bold"
    )
    for row in rows:
        table.add_row(*(Text(terminal.escaped(cell), style=_STYLES.get(cell, "")) for cell in row))
    terminal.console(sys.stdout).print(Padding(table, (0, 0, 0, indent), expand=False))
