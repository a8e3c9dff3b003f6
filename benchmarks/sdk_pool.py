"""The same facts, read by NetApp's own library in a pool of threads.

Usage: ``python -m benchmarks.sdk_pool --port PORT --clusters 50 --interval 10 [--facts-every 3]``

Every second, a line with the polls and the CPU seconds so far is printed. Certificates are not verified,
which costs less.
"""

from __future__ import annotations

import argparse
import logging
import resource
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

from netapp_ontap.host_connection import HostConnection
from netapp_ontap.resources.cluster import Cluster
from netapp_ontap.resources.software import Software
from netapp_ontap.resources.software_package import SoftwarePackage
from netapp_ontap.resources.software_package_download import SoftwarePackageDownload

from benchmarks.fake_fleet import PASSWORD, USERNAME, address

THREADS = 16


def main() -> None:
    """Poll until killed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--clusters", type=int, required=True)
    parser.add_argument("--interval", type=float, required=True, help="seconds between a cluster's polls")
    parser.add_argument("--facts-every", type=int, default=1, help="read facts in one of this many polls")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    polled: list[None] = []
    threading.Thread(target=_print_progress, args=(polled,), daemon=True).start()
    begun = time.monotonic()
    with ThreadPoolExecutor(THREADS) as pool:
        poll = 0
        while True:
            number = poll % arguments.clusters
            time.sleep(max(begun + poll * arguments.interval / arguments.clusters - time.monotonic(), 0.0))
            with_facts = (poll // arguments.clusters + number) % arguments.facts_every == 0
            pool.submit(_poll, number, arguments.port, polled, with_facts=with_facts)
            poll += 1


def _poll(number: int, port: int, polled: list[None], *, with_facts: bool) -> None:
    with HostConnection(address(number), port=port, username=USERNAME, password=PASSWORD, verify=False):
        packages = list(SoftwarePackage.get_collection(fields="version,create_time", max_records=500))
        if with_facts:
            Cluster().get(fields="name,uuid,version")
            Software().get(fields="version,pending_version,state,nodes")
            SoftwarePackageDownload().get(fields="state")
    if packages:
        polled.append(None)


def _print_progress(polled: list[None]) -> None:
    while True:
        time.sleep(1)
        used = resource.getrusage(resource.RUSAGE_SELF)
        print(len(polled), used.ru_utime + used.ru_stime, flush=True)


if __name__ == "__main__":
    main()
