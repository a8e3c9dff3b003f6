"""The pages have words for everything that the API and the journal can say."""

from __future__ import annotations

from enum import StrEnum

from exporter.cleanup.decide.plan import VerdictReason
from exporter.cleanup.outcomes import Outcome, RunFailure
from exporter.cleanup.records import Phase
from exporter.ontap.errors import Reason
from exporter.web.pages import wording

MEMBERS: dict[str, type[StrEnum]] = {
    "FAILURES": Reason,
    "FAILURE_ADVICE": Reason,
    "OUTCOMES": Outcome,
    "PHASES": Phase,
    "RUN_FAILURES": RunFailure,
    "RUN_ADVICE": RunFailure,
    "VERDICT_REASONS": VerdictReason,
}


def test_every_table_has_words_for_every_member_and_for_nothing_else() -> None:
    tables = {name: set(table) for name, table in vars(wording).items() if name.isupper()}
    assert tables == {name: set(members) for name, members in MEMBERS.items()}
