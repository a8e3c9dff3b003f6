"""``docs/cleanup.md`` explains every reason, outcome, phase and error code, and no other."""

from __future__ import annotations

import re

from exporter.cleanup.decide.plan import Verdict, VerdictReason
from exporter.cleanup.delete.lifecycle import Stage
from exporter.cleanup.delete.replies import (
    GONE_CODES,
    TRANSIENT_CODES,
    UNKNOWN_CODES,
    UNKNOWN_TRANSIENT_CODES,
    Meaning,
)
from exporter.cleanup.outcomes import Outcome
from exporter.cleanup.records import Phase
from support.markdown import ROOT, code, rows

PAGE = (ROOT / "docs" / "cleanup.md").read_text(encoding="utf-8")


def column(table: str, name: str | None = None) -> list[str]:
    return [code(row[name or table]) for row in rows(PAGE, table)]


def test_the_page_explains_every_reason_in_their_order() -> None:
    assert column("reason") == [str(reason) for reason in VerdictReason]


def test_only_one_reason_leads_to_deletion() -> None:
    verdicts = {code(row["reason"]): row["verdict"] for row in rows(PAGE, "reason")}
    assert verdicts == {
        str(reason): str(Verdict.DELETE if reason is VerdictReason.RETIRED else Verdict.KEEP)
        for reason in VerdictReason
    }


def test_the_page_explains_every_outcome() -> None:
    assert column("outcome") == [str(outcome) for outcome in Outcome]


def test_the_page_says_what_a_start_does_with_every_phase() -> None:
    assert column("the deletion was") == [str(phase) for phase in Phase]


def test_the_page_gives_every_code_the_meaning_that_it_has() -> None:
    meanings = {
        number: str(meaning)
        for numbers, meaning in (
            (GONE_CODES, Meaning.GONE),
            (TRANSIENT_CODES, Meaning.TRANSIENT),
            (UNKNOWN_CODES, Meaning.UNKNOWN),
            (UNKNOWN_TRANSIENT_CODES, Meaning.UNKNOWN_TRANSIENT),
        )
        for number in numbers
    }
    assert len(column("code")) == len(set(column("code")))
    assert dict(zip(column("code"), column("code", "meaning"), strict=True)) == meanings


def test_every_row_is_complete() -> None:
    tables = ("reason", "outcome", "code", "the deletion was", "answer to DELETE", "question")
    found = [row for table in tables for row in rows(PAGE, table)]
    assert all(cell for row in found for cell in row.values())
    assert all(rows(PAGE, table) for table in tables)


def test_the_picture_of_a_deletion_has_every_stage_phase_and_outcome() -> None:
    picture = (ROOT / "docs" / "images" / "deletion.svg").read_text(encoding="utf-8")
    words = set(re.findall(r"[a-z_]+", " ".join(re.findall(r"<text[^>]*>([^<]*)</text>", picture))))
    over = {str(Stage.OVER)}  # what the journal calls ended
    assert {*map(str, (*Stage, *Phase, *Outcome))} - over <= words
    assert "prefers-color-scheme: dark" in picture
