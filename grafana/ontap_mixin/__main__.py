"""``python -m ontap_mixin`` writes all rules and dashboards."""

from __future__ import annotations

import sys

from ontap_dashboards.catalogue import DIRECTORY
from ontap_dashboards.catalogue import files as dashboard_files
from ontap_mixin.output import ROOT, RULES, rule_files
from ontap_mixin.settings import load


def main() -> int:
    """Write every file, and remove the files of rules and dashboards that no longer exist."""
    settings = load()
    texts = {ROOT / path: text for path, text in rule_files(settings).items()}
    texts |= {DIRECTORY / name: text for name, text in dashboard_files(settings).items()}
    for stale in (*DIRECTORY.glob("*.json"), *(ROOT / RULES).glob("*.yaml")):
        if stale not in texts:
            stale.unlink()
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return 0


sys.exit(main())
