"""Changes simulated clusters over HTTP while they are served: plain HTTP and JSON on a loopback address.

| request | does |
| --- | --- |
| `GET /clusters` | lists the clusters: name, address, state, packages, counts |
| `GET /clusters/{name}` | one of them |
| `PATCH /clusters/{name}` | sets any of its attributes, see below |
| `POST /clusters/{name}/packages` | adds a package: `{"version": "9.16.1", "create_time": "..."}` |
| `DELETE /clusters/{name}/packages/{version}` | takes a package out |
| `GET /clusters/{name}/faults` | lists the active faults |
| `POST /clusters/{name}/faults` | adds a fault: `{"kind": "latency", "seconds": 2}` |
| `DELETE /clusters/{name}/faults` | clears them |

Attributes: `version`, `pending_version`, `update_state`, `download_state`, `reachable`, `job_seconds`,
`record_seconds`, `num_records`, `password`. A new `version` is that of every node too.

A fault has the keys of :class:`~exporter.simulator.faults.fault.Fault`; its kinds are those of
:class:`~exporter.simulator.faults.fault.FaultKind`. A package without `create_time` is created now; any other
value is kept as it is. A mistake is answered with status 400 and `{"error": "..."}`, which names the key; a
cluster, package or path that is not known is a 404.

```
curl -d '{"kind": "unavailable", "retry_after": 30, "times": 3}' localhost:8081/clusters/ams-prod-01/faults
```
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from http import HTTPStatus
from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from exporter.simulator.api.ontap_replies import json_body
from exporter.simulator.faults.fault import Fault, Seconds
from exporter.simulator.state.cluster_facts import DownloadState, Package, UpdateState
from exporter.simulator.state.simulated_cluster import SimulatedCluster
from exporter.simulator.wire.simulator_server import Simulator

T = TypeVar("T")


class NewPackage(BaseModel):
    """A package to add; without `create_time`, it is created now."""

    model_config = ConfigDict(extra="forbid")

    version: str | None
    create_time: object = None


class ClusterChanges(BaseModel):
    """New values of a cluster's attributes: those that are sent."""

    model_config = ConfigDict(extra="forbid")

    version: str = ""
    pending_version: str | None = None
    update_state: UpdateState | None = None
    download_state: DownloadState = DownloadState.NOT_STARTED
    reachable: bool = True
    job_seconds: Seconds = 0.0
    record_seconds: Seconds = 0.0
    num_records: bool = True
    password: str = ""


@asynccontextmanager
async def control_served(
    simulator: Simulator, *, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[str]:
    """Serve the control of a simulator, and give its URL without a path; port 0 finds a free one.

    Raises:
        OSError: The address is taken.
    """
    control = _Control(simulator)
    application = web.Application(middlewares=[_errors_as_json])
    application.add_routes(
        [
            web.get("/clusters", control.list_clusters),
            web.get("/clusters/{name}", control.read_cluster),
            web.patch("/clusters/{name}", control.change_cluster),
            web.post("/clusters/{name}/packages", control.add_package),
            web.delete("/clusters/{name}/packages/{version}", control.remove_package),
            web.get("/clusters/{name}/faults", control.list_faults),
            web.post("/clusters/{name}/faults", control.add_fault),
            web.delete("/clusters/{name}/faults", control.clear_faults),
        ]
    )
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        served_host, served_port = runner.addresses[0]
        yield f"http://{served_host}:{served_port}"
    finally:
        await runner.cleanup()


class _Control:
    """The handlers of the requests."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    async def list_clusters(self, _: web.Request) -> web.Response:
        return _json({"clusters": [self._summary(cluster) for cluster in self._simulator.clusters]})

    async def read_cluster(self, request: web.Request) -> web.Response:
        return _json(self._summary(self._cluster(request)))

    async def change_cluster(self, request: web.Request) -> web.Response:
        cluster = self._cluster(request)
        changes = (await _parsed(ClusterChanges, request)).model_dump(exclude_unset=True)
        reachable = changes.pop("reachable", None)
        for name, value in changes.items():
            setattr(cluster, name, value)
        if "version" in changes:
            cluster.nodes = tuple(replace(node, version=cluster.version) for node in cluster.nodes)
        if reachable is not None:
            await (self._simulator.start if reachable else self._simulator.stop)(cluster.name)
        return _json(self._summary(cluster))

    async def add_package(self, request: web.Request) -> web.Response:
        cluster = self._cluster(request)
        new = await _parsed(NewPackage, request)
        created = "create_time" in new.model_fields_set
        package = Package(new.version, new.create_time if created else cluster.clock.now())
        cluster.add_package(package)
        return _json(package.record, HTTPStatus.CREATED)

    async def remove_package(self, request: web.Request) -> web.Response:
        cluster, version = self._cluster(request), request.match_info["version"]
        if not cluster.remove_package(version):
            raise web.HTTPNotFound(reason=f"there is no package {version!r} on {cluster.name}")
        return _json({})

    async def list_faults(self, request: web.Request) -> web.Response:
        faults = self._cluster(request).faults
        return _json(
            {
                "faults": [
                    {**_fault_document(fault), "struck": faults.struck(fault)} for fault in faults.active
                ]
            }
        )

    async def add_fault(self, request: web.Request) -> web.Response:
        cluster = self._cluster(request)
        fault = await _parsed(Fault, request)
        cluster.faults.add(fault)
        return _json(_fault_document(fault), HTTPStatus.CREATED)

    async def clear_faults(self, request: web.Request) -> web.Response:
        self._cluster(request).faults.clear()
        return _json({})

    def _cluster(self, request: web.Request) -> SimulatedCluster:
        name = request.match_info["name"]
        try:
            return self._simulator[name]
        except KeyError:
            raise web.HTTPNotFound(reason=f"there is no cluster {name!r}") from None

    def _summary(self, cluster: SimulatedCluster) -> dict[str, object]:
        return {
            "name": cluster.name,
            "address": cluster.address,
            "listens": self._simulator.listens(cluster.name),
            "version": cluster.version,
            "pending_version": cluster.pending_version,
            "update_state": cluster.update_state,
            "download_state": cluster.download_state,
            "labels": cluster.labels,
            "packages": [package.record for package in cluster.packages],
            "faults": len(cluster.faults.active),
            "requests": cluster.requests_received,
            "deletions": len(cluster.deletions),
        }


async def _parsed(kind: type[T], request: web.Request) -> T:
    """Read the JSON of a request.

    Raises:
        ValidationError: It is no JSON, a key is unknown or missing, or a value is not possible.
    """
    return TypeAdapter(kind).validate_json(await request.read(), strict=True)


def _fault_document(fault: Fault) -> dict[str, object]:
    """A fault as JSON, without the keys that have their defaults."""
    document: dict[str, object] = TypeAdapter(Fault).dump_python(fault, mode="json", exclude_defaults=True)
    return document


@web.middleware
async def _errors_as_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except ValidationError as error:
        return _json({"error": _mistakes_by_key(error)}, HTTPStatus.BAD_REQUEST)
    except web.HTTPException as error:
        return _json({"error": error.reason}, error.status)


def _mistakes_by_key(error: ValidationError) -> str:
    reasons = []
    for mistake in error.errors():
        unknown = mistake["type"] in ("extra_forbidden", "unexpected_keyword_argument")
        reason = "unknown key" if unknown else mistake["msg"][0].lower() + mistake["msg"][1:]
        reasons.append(f"{mistake['loc'][0]}: {reason}" if mistake["loc"] else reason)
    return "; ".join(reasons)


def _json(document: object, status: int = HTTPStatus.OK) -> web.Response:
    return web.Response(status=status, body=json_body(document) + b"\n", content_type="application/json")
