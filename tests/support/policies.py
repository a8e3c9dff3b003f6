"""What we demand of every manifest that we ship, beyond that Kubernetes takes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from support.kubernetes import Manifest, of_kind

WORKLOADS = ("StatefulSet", "Deployment")


def violations(manifests: list[Manifest]) -> Iterator[str]:
    """Yield what is wrong: privileges, missing probes, selectors and references that lead nowhere."""
    workloads = [manifest for kind in WORKLOADS for manifest in of_kind(manifests, kind)]
    if not workloads:
        yield "there is no workload"
    for workload in workloads:
        pod = workload["spec"]["template"]["spec"]
        yield from _privileges(pod)
        for container in pod["containers"]:
            yield from _container(container, pod, workload)
        yield from _of_the_pod(workload, pod, manifests)
    pods = [workload["spec"]["template"]["metadata"]["labels"] for workload in workloads]
    for manifest in manifests:
        selector = _selector(manifest)
        if selector is not None and (
            not selector or not any(selector.items() <= pod.items() for pod in pods)
        ):
            yield f"{manifest['kind']} selects no pod, or pods that are not ours: {selector}"
    for account in of_kind(manifests, "ServiceAccount"):
        if account.get("automountServiceAccountToken") is not False:
            yield "the account's token is mounted"
    names = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests]
    yield from (f"twice: {name}" for name in set(names) if names.count(name) > 1)


def _privileges(pod: dict[str, Any]) -> Iterator[str]:
    context = pod.get("securityContext", {})
    if context.get("runAsNonRoot") is not True or not context.get("runAsUser"):
        yield "it may run as root"
    if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "no seccomp profile"
    if pod.get("automountServiceAccountToken") is not False:
        yield "a token is mounted"
    for key in ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"):
        if pod.get(key):
            yield f"{key} is on"
    if any("hostPath" in volume for volume in pod.get("volumes", [])):
        yield "a folder of the host is mounted"


def _container(container: dict[str, Any], pod: dict[str, Any], workload: Manifest) -> Iterator[str]:
    context = container.get("securityContext", {})
    if context.get("privileged") or context.get("allowPrivilegeEscalation") is not False:
        yield "privileges can be gained"
    if context.get("readOnlyRootFilesystem") is not True:
        yield "the root file system can be written"
    if context.get("capabilities") != {"drop": ["ALL"]}:
        yield f"capabilities are kept: {context.get('capabilities')}"
    if context.get("runAsUser") == 0 or context.get("runAsNonRoot") is False:
        yield "the container runs as root"
    for probe in ("livenessProbe", "readinessProbe"):
        if not container.get(probe):
            yield f"no {probe}"
    yield from _resources(container)
    volumes = {volume["name"] for volume in pod.get("volumes", [])}
    volumes |= {claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", [])}
    mounted = [mount["name"] for mount in container.get("volumeMounts", [])]
    if set(mounted) != volumes:
        yield f"volumes {sorted(volumes)} are mounted as {sorted(mounted)}"
    if any("subPath" in mount for mount in container.get("volumeMounts", [])):
        yield "a subPath never sees an update"


def _resources(container: dict[str, Any]) -> Iterator[str]:
    resources = container.get("resources", {})
    if not {"cpu", "memory"} <= set(resources.get("requests", {})):
        yield "no requests"
    if "memory" not in resources.get("limits", {}):
        yield "no limit of memory"
    name = container["image"].rpartition("/")[2]
    if name.endswith(":latest") or not set(name) & set(":@"):
        yield f"any version of the image: {name}"


def _of_the_pod(workload: Manifest, pod: dict[str, Any], manifests: list[Manifest]) -> Iterator[str]:
    spec = workload["spec"]
    labels = spec["template"]["metadata"]["labels"]
    if not spec["selector"]["matchLabels"].items() <= labels.items():
        yield "the workload does not select its pods"
    for constraint in pod.get("topologySpreadConstraints", []):
        if not constraint["labelSelector"]["matchLabels"].items() <= labels.items():
            yield "pods are spread among others"
    if workload["kind"] == "StatefulSet":
        services = {service["metadata"]["name"]: service for service in of_kind(manifests, "Service")}
        if services.get(spec["serviceName"], {}).get("spec", {}).get("clusterIP") != "None":
            yield "the StatefulSet has no headless service"
    ports = {port["name"] for container in pod["containers"] for port in container["ports"]}
    for service in of_kind(manifests, "Service"):
        if service["spec"]["selector"].items() <= labels.items():
            yield from (
                f"no port {port['targetPort']}"
                for port in service["spec"]["ports"]
                if port["targetPort"] not in ports
            )
    for monitor in of_kind(manifests, "PodMonitor"):
        yield from (
            f"no port {endpoint['port']}"
            for endpoint in monitor["spec"]["podMetricsEndpoints"]
            if endpoint["port"] not in ports
        )


def _selector(manifest: Manifest) -> dict[str, str] | None:
    spec = manifest.get("spec", {})
    match manifest["kind"]:
        case "Service":
            return dict(spec["selector"])
        case "NetworkPolicy":
            return dict(spec["podSelector"].get("matchLabels", {}))
        case "PodDisruptionBudget" | "PodMonitor":
            return dict(spec["selector"].get("matchLabels", {}))
        case _:
            return None
