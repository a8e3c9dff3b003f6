"""``/sd`` has the form of Prometheus's HTTP service discovery, with a target for every cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from exporter.polling.board import Board, ClusterStatus
from exporter.web.routes import build_application
from support.stub_sources import sources

Client = TestClient[web.Request, web.Application]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    board = Board(on_change=lambda _: None)
    for name, labels in (("ams 01/ü", (("site", "ams"), ("tier", "1"))), ("fra-01", ())):
        board.put(
            ClusterStatus(name=name, address="https://10.20.0.5:443", labels=labels, stale_after_seconds=900)
        )
    async with TestClient(TestServer(build_application(sources(board=board)))) as client:
        yield client


async def test_every_cluster_is_a_group_with_its_labels(client: Client) -> None:
    async with client.get("/sd") as response:
        assert response.content_type == "application/json"
        groups = await response.json()
    assert groups == [
        {
            "targets": ["ams 01/ü"],
            "labels": {
                "cluster": "ams 01/ü",
                "site": "ams",
                "tier": "1",
                "__meta_ontap_cluster": "ams 01/ü",
                "__meta_ontap_address": "https://10.20.0.5:443",
                "__meta_ontap_label_site": "ams",
                "__meta_ontap_label_tier": "1",
            },
        },
        {
            "targets": ["fra-01"],
            "labels": {
                "cluster": "fra-01",
                "__meta_ontap_cluster": "fra-01",
                "__meta_ontap_address": "https://10.20.0.5:443",
            },
        },
    ]


async def test_a_target_of_sd_is_accepted_by_probe(client: Client) -> None:
    async with client.get("/probe", params={"target": "ams 01/ü"}) as response:
        assert response.status == 503  # known, and not polled yet
