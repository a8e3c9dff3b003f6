"""Simulated ONTAP clusters, served over HTTPS on loopback: for tests, for the demo, for trying things out.

The room imports nothing else of the package. Its modules, from the inside out:

* :mod:`~exporter.simulator.clock` is simulated time.
* :mod:`~exporter.simulator.repository`, :mod:`~exporter.simulator.facts`, :mod:`~exporter.simulator.jobs`,
  :mod:`~exporter.simulator.paging` and :mod:`~exporter.simulator.received` are what a cluster holds;
  :mod:`~exporter.simulator.cluster` is the cluster.
* :mod:`~exporter.simulator.faults` says what goes wrong and with which requests;
  :mod:`~exporter.simulator.refusals` and :mod:`~exporter.simulator.distortions` make it so.
* :mod:`~exporter.simulator.api` carries a request out, with :mod:`~exporter.simulator.packages`,
  :mod:`~exporter.simulator.resources`, :mod:`~exporter.simulator.pages`, :mod:`~exporter.simulator.listing`,
  :mod:`~exporter.simulator.queries` and :mod:`~exporter.simulator.fields`; what it gives is in
  :mod:`~exporter.simulator.replies`.
* :mod:`~exporter.simulator.exchange` puts faults, sign-in and API together;
  :mod:`~exporter.simulator.connection` and :mod:`~exporter.simulator.server` put it on the wire, with
  :mod:`~exporter.simulator.listeners` and :mod:`~exporter.simulator.certificates`.
* :mod:`~exporter.simulator.fleet` has ready-made fleets, :mod:`~exporter.simulator.configuration` the
  exporter's configuration for them; :mod:`~exporter.simulator.control` changes them over HTTP, reading with
  :mod:`~exporter.simulator.control_input`; :mod:`~exporter.simulator.command` is the `simulate` command.
"""

from exporter.simulator.certificates import SERVER_NAME, ClientCertificate
from exporter.simulator.clock import SimulatedClock
from exporter.simulator.cluster import SimulatedCluster
from exporter.simulator.facts import Deletion, DownloadState, Node, UpdateState
from exporter.simulator.faults import Fault, FaultKind
from exporter.simulator.jobs import JobOutcome, JobScript
from exporter.simulator.received import ReceivedRequest
from exporter.simulator.repository import ABSENT, Package
from exporter.simulator.server import Simulator

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
