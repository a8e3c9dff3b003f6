"""``docs/security.md`` names a test for each attack, and each of them exists."""

from __future__ import annotations

import re

from support.markdown import ROOT, rows

PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")


def test_every_attack_has_a_test_that_exists() -> None:
    attacks = rows(PAGE, "attack")
    assert len(attacks) > 15
    for attack in attacks:
        named = re.findall(r"`(tests/[^`]+)`", attack["shown by"])
        assert named, attack
        assert all((ROOT / name).is_file() for name in named), attack
