"""A pause after failures is tied to what the configuration says of its policy."""

from __future__ import annotations

from typing import Any

import pytest

from exporter.cleanup.policy_values import digest_of
from exporter.config import PolicyConfig

WRITTEN: dict[str, Any] = {
    "name": "retire-old",
    "every": "24h",
    "older_than": "90d",
    "clusters": {"names": ["ams-*"], "labels": {"site": "ams"}},
    "exclude": ["9.9*"],
}


def digest(**changes: object) -> str:
    return digest_of(PolicyConfig.model_validate({**WRITTEN, **changes}))


@pytest.mark.parametrize(
    "change",
    [
        {"older_than": "91d"},
        {"exclude": []},
        {"clusters": {"names": ["ams-*"]}},
        {"dry_run": False},
        {"job_timeout": "1h"},
    ],
    ids=str,
)
def test_every_change_of_a_policy_changes_its_digest(change: dict[str, object]) -> None:
    assert digest(**change) != digest()


def test_another_spelling_of_the_same_policy_does_not() -> None:
    assert digest(every="1d", older_than="2160h") == digest()


def test_a_digest_holds_for_the_next_life_of_the_program_and_for_releases_with_further_keys() -> None:
    assert digest() == "c0bba4a7e690bdbe"
