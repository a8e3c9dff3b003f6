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

from collections.abc import Awaitable, Callable
from dataclasses import replace
from http import HTTPStatus
from typing import Self

from aiohttp import web

from exporter.simulator.api.ontap_replies import json_body
from exporter.simulator.control_models import (
    ClusterChanges,
    InputError,
    NewPackage,
    fault_document,
    parsed,
    parsed_fault,
)
from exporter.simulator.state.package_repository import Package
from exporter.simulator.state.simulated_cluster import SimulatedCluster
from exporter.simulator.wire.simulator_server import Simulator

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ControlServer:
    """Serves the control of a simulator while the context is entered; port 0 finds a free one.

    Raises:
        OSError: The address is taken.
    """

    def __init__(self, simulator: Simulator, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self._simulator = simulator
        application = web.Application(middlewares=[_errors_as_json])
        application.add_routes(
            [
                web.get("/clusters", self._list_clusters),
                web.get("/clusters/{name}", self._read_cluster),
                web.patch("/clusters/{name}", self._change_cluster),
                web.post("/clusters/{name}/packages", self._add_package),
                web.delete("/clusters/{name}/packages/{version}", self._remove_package),
                web.get("/clusters/{name}/faults", self._list_faults),
                web.post("/clusters/{name}/faults", self._add_fault),
                web.delete("/clusters/{name}/faults", self._clear_faults),
            ]
        )
        self._runner = web.AppRunner(application, access_log=None)
        self._host = host
        self._port = port

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except BaseException:
            await self._runner.cleanup()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        """The URL at which it is served, without a path."""
        host, port = self._runner.addresses[0]
        return f"http://{host}:{port}"

    def _cluster(self, request: web.Request) -> SimulatedCluster:
        name = request.match_info["name"]
        try:
            return self._simulator[name]
        except KeyError:
            raise web.HTTPNotFound(reason=f"there is no cluster {name!r}") from None

    async def _list_clusters(self, _: web.Request) -> web.Response:
        return _json({"clusters": [self._summary(cluster) for cluster in self._simulator.clusters]})

    async def _read_cluster(self, request: web.Request) -> web.Response:
        return _json(self._summary(self._cluster(request)))

    async def _change_cluster(self, request: web.Request) -> web.Response:
        cluster = self._cluster(request)
        changes = parsed(ClusterChanges, await request.read()).model_dump(exclude_unset=True)
        reachable = changes.pop("reachable", None)
        for name, value in changes.items():
            setattr(cluster, name, value)
        if "version" in changes:
            cluster.nodes = tuple(replace(node, version=cluster.version) for node in cluster.nodes)
        if reachable is not None:
            await (self._simulator.start if reachable else self._simulator.stop)(cluster.name)
        return _json(self._summary(cluster))

    async def _add_package(self, request: web.Request) -> web.Response:
        cluster = self._cluster(request)
        new = parsed(NewPackage, await request.read())
        created = "create_time" in new.model_fields_set
        package = Package(new.version, new.create_time if created else cluster.clock.now())
        cluster.add_package(package)
        return _json(package.record, HTTPStatus.CREATED)

    async def _remove_package(self, request: web.Request) -> web.Response:
        cluster, version = self._cluster(request), request.match_info["version"]
        if not cluster.remove_package(version):
            raise web.HTTPNotFound(reason=f"there is no package {version!r} on {cluster.name}")
        return _json({})

    async def _list_faults(self, request: web.Request) -> web.Response:
        faults = self._cluster(request).faults
        return _json(
            {"faults": [{**fault_document(fault), "struck": faults.struck(fault)} for fault in faults.active]}
        )

    async def _add_fault(self, request: web.Request) -> web.Response:
        cluster = self._cluster(request)
        fault = parsed_fault(await request.read())
        cluster.faults.add(fault)
        return _json(fault_document(fault), HTTPStatus.CREATED)

    async def _clear_faults(self, request: web.Request) -> web.Response:
        self._cluster(request).faults.clear()
        return _json({})

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
            "requests": cluster.log.count,
            "deletions": len(cluster.deletions),
        }


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except InputError as error:
        return _json({"error": str(error)}, HTTPStatus.BAD_REQUEST)
    except web.HTTPException as error:
        return _json({"error": error.reason}, error.status)


def _json(document: object, status: int = HTTPStatus.OK) -> web.Response:
    return web.Response(status=status, body=json_body(document) + b"\n", content_type="application/json")
