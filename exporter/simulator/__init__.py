"""Simulated ONTAP clusters, served over HTTPS on loopback: for tests, for the demo, for trying things out.

The room imports nothing else of the package. Its folders, from the inside out:

* :mod:`~exporter.simulator.state` is what a cluster holds: packages, nodes and versions, jobs, the requests
  it received, all on a simulated clock.
* :mod:`~exporter.simulator.faults` says what goes wrong and with which requests.
* :mod:`~exporter.simulator.api` is ONTAP's API: paths, queries, pages, replies.
* :mod:`~exporter.simulator.wire` serves it over HTTPS.

On top of them, :mod:`~exporter.simulator.ready_made_fleets` has fleets,
:mod:`~exporter.simulator.exporter_configuration` the exporter's configuration for them,
:mod:`~exporter.simulator.control_interface` changes clusters over HTTP, and
:mod:`~exporter.simulator.command` is the `simulate` command.
"""

from exporter.simulator.faults.fault import Fault, FaultKind
from exporter.simulator.state.cluster_facts import ABSENT, Deletion, DownloadState, Node, Package, UpdateState
from exporter.simulator.state.received_requests import ReceivedRequest
from exporter.simulator.state.simulated_clock import SimulatedClock
from exporter.simulator.state.simulated_cluster import SimulatedCluster
from exporter.simulator.state.simulated_jobs import JobOutcome, JobScript
from exporter.simulator.wire.simulated_certificates import SERVER_NAME, ClientCertificate
from exporter.simulator.wire.simulator_server import Simulator

__all__ = [
    "ABSENT",
    "SERVER_NAME",
    "ClientCertificate",
    "Deletion",
    "DownloadState",
    "Fault",
    "FaultKind",
    "JobOutcome",
    "JobScript",
    "Node",
    "Package",
    "ReceivedRequest",
    "SimulatedClock",
    "SimulatedCluster",
    "Simulator",
    "UpdateState",
]
