"""Prometheus exporter for the software package repositories of NetApp ONTAP clusters.

Each room, a folder or a module here, is one step of a flow. CONTRIBUTING.md draws the flows, and says what
each room does and which others it may import.
"""

PROGRAM = "ontap-packages-exporter"
"""The name of the command and of the distribution."""
__version__ = "0.1.0"
