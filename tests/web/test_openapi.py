"""``docs/openapi.yaml`` says what is answered; requests made up of it, good and bad, find no fault."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

import schemathesis
import yaml
from docs.markdown import ROOT
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from exporter.web.routes import build_application
from support.daemon_process import program
from support.stub_sources import sources

DOCUMENT: dict[str, Any] = yaml.safe_load((ROOT / "docs" / "openapi.yaml").read_text(encoding="utf-8"))
Check = Callable[[Any, Any, Any], bool | None]
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "10"))
"""For each operation, and each of good and bad requests."""


def test_the_document_names_every_path() -> None:
    application = build_application(sources())
    served = {
        resource.canonical for resource in application.router.resources() if resource.canonical != "/icon.svg"
    }
    assert set(DOCUMENT["paths"]) == served


async def test_answers_are_as_the_document_says_whatever_is_asked() -> None:
    async with program("demo", "--web.listen-address=127.0.0.1:0") as daemon:
        await daemon.until_ready()
        asked = await asyncio.to_thread(ask_everything, daemon.url)
        assert asked >= EXAMPLES * len(DOCUMENT["paths"])
        assert (await daemon.get("/-/healthy"))[0] == 200
        assert not [line for line in daemon.lines if "level=error" in line]


def ask_everything(url: str) -> int:
    """Ask for everything that the document describes, and return how many requests that took."""
    schema: Any = schemathesis.openapi.from_dict(DOCUMENT)
    operations = [found.ok() for found in schema.get_all_operations()]
    return sum(ask(operation, mode, url) for operation in operations for mode in GenerationMode)


def ask(operation: Any, mode: GenerationMode, url: str) -> int:
    """Make requests of one kind, good or bad ones, and return how many; a bad one may be answered anyhow."""
    checks: list[Check] | None = None if mode is GenerationMode.POSITIVE else [not_a_server_error]
    # A name of the right form may still be nobody's, which is a mistake of the client here.
    excluded: list[Check] = [positive_data_acceptance]
    asked = 0

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def make_one(case: Any) -> None:
        nonlocal asked
        asked += 1
        case.validate_response(case.call(base_url=url), checks=checks, excluded_checks=excluded)

    try:
        make_one()
    except Unsatisfiable:  # nothing can be wrong with a request that has no parameters
        assert mode is GenerationMode.NEGATIVE
    return asked
