"""``docs/troubleshooting.md`` knows every reason of a failed poll, and quotes what commands really write."""

from __future__ import annotations

import re

from exporter.ontap.errors import Reason
from support.markdown import ROOT, code, rows

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
BAD = "\n".join(
    path.read_text(encoding="utf-8") for path in sorted((ROOT / "tests" / "config" / "bad").glob("*.txt"))
)
SOURCE = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "exporter").rglob("*.py"))


def test_the_page_helps_with_every_reason_of_a_failed_poll() -> None:
    assert [code(row["reason"]) for row in rows(PAGE, "reason")] == [str(reason) for reason in Reason]


def test_every_message_of_check_config_is_one_that_it_writes() -> None:
    quoted = [code(row["message"].removesuffix(" …")) for row in rows(PAGE, "message")]
    assert [text for text in quoted if text not in BAD and text not in SOURCE] == []
    assert len(quoted) > 8


def test_every_row_is_complete() -> None:
    found = [row for table in ("you see", "reason", "message", "what happens") for row in rows(PAGE, table)]
    assert all(cell for row in found for cell in row.values())
    assert all(re.search(r"\w", cell) for row in found for cell in row.values())
