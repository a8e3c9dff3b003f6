"""Runs the pods of a manifest without Kubernetes: the same arguments, environment and mounted files.

A file of a Secret or ConfigMap is a link into a folder ``..data``, which is itself a link that an update
replaces, as the kubelet does it. What is mounted is below a folder of the pod, so paths in the arguments are
rewritten. Every pod listens on a free port of loopback.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from exporter.commands import health
from support.daemon_process import Daemon, program
from support.kubernetes import Manifest, of_kind
from support.waiting import eventually

READY_SECONDS = 120.0

_Texts = Mapping[str, str]


@dataclass(slots=True, kw_only=True)
class Pods:
    """What a namespace holds, and the folders of the pods that mount it.

    Attributes:
        directory: for the folders of the pods.
        manifests: what was rendered.
        objects: the texts of every Secret and ConfigMap by kind and name, those of the manifests among them.
    """

    directory: Path
    manifests: list[Manifest]
    objects: dict[tuple[str, str], _Texts]
    _mounted: list[tuple[tuple[str, str], dict[str, Any], Path]] = field(default_factory=list)
    _numbers: Any = field(default_factory=count)

    def __post_init__(self) -> None:
        """Take the Secrets and ConfigMaps of the manifests too."""
        for kind in ("Secret", "ConfigMap"):
            for manifest in of_kind(self.manifests, kind):
                encoded = {
                    key: base64.b64decode(text).decode() for key, text in manifest.get("data", {}).items()
                }
                plain = encoded if kind == "Secret" else manifest.get("data", {})
                self.objects[kind, manifest["metadata"]["name"]] = {**plain, **manifest.get("stringData", {})}

    @property
    def workload(self) -> Manifest:
        """The StatefulSet or the Deployment."""
        (workload,) = of_kind(self.manifests, "StatefulSet") + of_kind(self.manifests, "Deployment")
        return workload

    def names(self) -> list[str]:
        """Return the names of the pods."""
        name = self.workload["metadata"]["name"]
        suffix = "" if self.workload["kind"] == "StatefulSet" else "6d4cf56db6-x"
        return [f"{name}-{suffix}{number}" for number in range(self.workload["spec"]["replicas"])]

    def update(self, kind: str, name: str, texts: _Texts) -> None:
        """Replace what a Secret or ConfigMap holds, in every pod that mounts it."""
        self.objects[kind, name] = texts
        for key, source, folder in self._mounted:
            if key == (kind, name):
                self._project(texts, source, folder)

    @asynccontextmanager
    async def run(self, name: str, **environ: str) -> AsyncIterator[Daemon]:
        """Start a pod, wait until its readiness probe succeeds, and kill it at the end."""
        spec = self.workload["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        root = self.directory / f"{name}-{next(self._numbers)}"
        self._mount(spec, container, root)
        arguments = [self._below(argument, container, root) for argument in container["args"]]
        variables = {one["name"]: self._variable(one, name) for one in container["env"]}
        listen = "--web.listen-address=127.0.0.1:0"
        async with program(*arguments, listen, environ={**variables, **environ}) as daemon:
            assert daemon.url, daemon.output

            async def ready() -> bool:
                return await _succeeds(container["readinessProbe"], daemon)

            await eventually(ready, seconds=READY_SECONDS, what=f"{name} to be ready")
            assert await _succeeds(container["livenessProbe"], daemon)
            yield daemon

    def _mount(self, spec: dict[str, Any], container: dict[str, Any], root: Path) -> None:
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        for mount in container["volumeMounts"]:
            folder = root / mount["mountPath"].lstrip("/")
            folder.mkdir(parents=True)
            match volumes.get(mount["name"], {}):
                case {"secret": source}:
                    key = ("Secret", source["secretName"])
                case {"configMap": source}:
                    key = ("ConfigMap", source["name"])
                case _:  # an emptyDir, or the volume of a claim
                    continue
            self._mounted.append((key, source, folder))
            self._project(self.objects[key], source, folder)

    def _project(self, texts: _Texts, source: dict[str, Any], folder: Path) -> None:
        items = source.get("items") or [{"key": key, "path": key} for key in texts]
        data = folder / f"..{next(self._numbers)}"
        data.mkdir()
        for item in items:
            file = data / item["path"]
            file.write_text(texts[item["key"]])
            file.chmod(source.get("defaultMode", 0o644))
        link = folder / "..data_tmp"
        link.symlink_to(data.name)
        link.replace(folder / "..data")
        for item in items:
            visible = folder / item["path"]
            if not visible.is_symlink():
                visible.symlink_to(f"..data/{item['path']}")

    def _below(self, argument: str, container: dict[str, Any], root: Path) -> str:
        flag, _, path = argument.partition("=")
        mounted = any(path.startswith(f"{mount['mountPath']}/") for mount in container["volumeMounts"])
        return f"{flag}={root}{path}" if mounted else argument

    def _variable(self, variable: dict[str, Any], pod: str) -> str:
        match variable:
            case {"value": str(value)}:
                return value
            case {"valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}:
                return pod
            case {"valueFrom": {"secretKeyRef": {"name": str(name), "key": str(key)}}}:
                return self.objects["Secret", name][key]
            case _:
                raise AssertionError(variable)


async def _succeeds(probe: dict[str, Any], daemon: Daemon) -> bool:
    """Ask as the kubelet does; it has neither password nor certificate."""
    match probe:
        case {"httpGet": {"path": str(path)}}:
            return (await daemon.get(path))[0] == 200
        case {"tcpSocket": _}:
            host, _, port = daemon.url.removeprefix("http://").rpartition(":")
            _, writer = await asyncio.open_connection(host, int(port))
            writer.close()
            return True
        case {"exec": {"command": ["ontap-packages-exporter", "health"]}}:
            command_line = Path(f"/proc/{daemon.process.pid}/cmdline").read_text()
            # What the system chose for port 0.
            port = daemon.url.rpartition(":")[2]
            urls = [re.sub(r":0(?=/|$)", f":{port}", url) for url in health.urls_of(command_line.encode())]
            ask = partial(health.ask, urls, is_closing_enough=True)
            return await asyncio.to_thread(ask) is None
        case _:
            raise AssertionError(probe)
