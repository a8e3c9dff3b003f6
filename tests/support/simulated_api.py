"""A plain HTTP client for simulated clusters: it sends each path exactly as given."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from yarl import URL

from exporter.simulator import SimulatedCluster

PACKAGES = "/api/cluster/software/packages"


def basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


@dataclass(frozen=True)
class Got:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def next(self) -> str | None:
        link = self.json.get("_links", {}).get("next")
        return None if link is None else link["href"]

    @property
    def versions(self) -> list[Any]:
        return [record["version"] for record in self.json["records"]]

    @property
    def error(self) -> tuple[int, Any, str | None]:
        error = self.json["error"]
        return self.status, error["code"], error.get("target")


class Client:
    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session

    async def ask(
        self,
        cluster: SimulatedCluster,
        target: str,
        method: str = "GET",
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Got:
        authorization = basic(cluster.username, cluster.password)
        async with self.session.request(
            method,
            URL(cluster.url + target, encoded=True),
            headers={"Authorization": authorization, **(headers or {})},
            data=body,
            allow_redirects=False,
        ) as response:
            return Got(response.status, response.headers, await response.read())

    async def delete(self, cluster: SimulatedCluster, version: str, query: str = "") -> Got:
        return await self.ask(cluster, f"{PACKAGES}/{version}{query}", "DELETE")

    async def job(self, cluster: SimulatedCluster, uuid: str, query: str = "") -> Got:
        return await self.ask(cluster, f"/api/cluster/jobs/{uuid}{query}")

    async def pages(self, cluster: SimulatedCluster, target: str = PACKAGES, most: int = 50) -> list[Got]:
        pages = [await self.ask(cluster, target)]
        while (link := pages[-1].next) is not None and len(pages) < most:
            pages.append(await self.ask(cluster, link))
        return pages
