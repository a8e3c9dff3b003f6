"""``docs/openapi.yaml`` says what is answered; requests made up of it, good and bad, find no fault."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import yaml
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from exporter.web.routes import build_application
from exporter.web.site import parse_site
from support.daemon_process import program
from support.guarded import guarded, hashed, write
from support.markdown import ROOT
from support.stub_sources import sources

DOCUMENT: dict[str, Any] = yaml.safe_load((ROOT / "docs" / "openapi.yaml").read_text(encoding="utf-8"))
Check = Callable[[Any, Any, Any], bool | None]
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "10"))
"""For each operation, and each of good and bad requests."""


OPERATIONS: dict[tuple[str, str], dict[str, Any]] = {
    (method.upper(), path): operation
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}


def test_the_document_names_every_path_and_every_method() -> None:
    application = build_application(sources())
    routes = [(route.method, route.resource) for route in application.router.routes()]
    served = {(method, resource.canonical) for method, resource in routes if resource is not None}
    # GET is served with HEAD; the icon is for pages alone.
    assert set(OPERATIONS) == {(method, path) for method, path in served if method != "HEAD"} - {
        ("GET", "/icon.svg")
    }


@pytest.mark.parametrize(
    ("web_configuration", "status"),
    [(f"basic_auth_users: {{alice: {hashed('right')}}}", 401), ("rate_limit: {interval: 1h, burst: 1}", 429)],
    ids=["password", "rate limit"],
)
async def test_a_client_may_be_refused_on_every_path_as_the_document_says(
    web_configuration: str, status: int, tmp_path: Path
) -> None:
    async with guarded(write(tmp_path / "web.yaml", web_configuration)) as server:
        await server.get()  # uses the burst
        for (method, path), operation in OPERATIONS.items():
            response = await server.get(path.format(name="a", id=1), method=method)
            assert response.status == status
            assert str(status) in operation["responses"]


async def test_another_host_is_refused_on_every_path_as_the_document_says() -> None:
    application = build_application(sources(site=parse_site("https://ontap.example.com/", "/")))
    async with TestClient(TestServer(application)) as client:
        for (method, path), operation in OPERATIONS.items():
            response = await client.request(
                method, path.format(name="a", id=1), headers={"Host": "other.example.com"}
            )
            assert response.status == 421
            assert "421" in operation["responses"]


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
