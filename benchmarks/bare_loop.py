"""Sends the exporter's requests with plain aiohttp: the least that polling can cost.

Usage: ``python -m benchmarks.bare_loop --port PORT --ca-file FILE --clusters 100 --interval 10``

Polls are spread over the interval, each over a new TLS connection. The bodies are read and thrown away. Every
second, a line with the polls and the CPU seconds so far is printed.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import ssl
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import uvloop
from yarl import URL

from benchmarks.fake_fleet import PASSWORD, USERNAME, address
from exporter.ontap.cluster_settings import Endpoint
from exporter.ontap.requests.facts import read_download_state, read_identity, read_software
from exporter.ontap.requests.listing import CollectionQuery, read_listing
from exporter.simulator.wire.simulated_certificates import SERVER_NAME

QUERY = CollectionQuery(endpoint=Endpoint(host="any"), return_timeout_seconds=0, max_records=500)
FACTS = tuple(next(fact).target for fact in (read_identity(), read_software(QUERY), read_download_state()))


def main() -> None:
    """Poll until killed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ca-file", type=Path, required=True)
    parser.add_argument("--clusters", type=int, required=True)
    parser.add_argument("--interval", type=float, required=True, help="seconds between a cluster's polls")
    parser.add_argument("--facts-every", type=int, default=1, help="read facts in one of this many polls")
    parser.add_argument("--uvloop", action="store_true", help="use uvloop instead of asyncio's own loop")
    arguments = parser.parse_args()
    (uvloop.run if arguments.uvloop else asyncio.run)(_run(arguments))


@dataclass(slots=True)
class _Shared:
    """What the tasks of all clusters share."""

    arguments: argparse.Namespace
    session: aiohttp.ClientSession
    context: ssl.SSLContext
    listing: str
    polls: int = 0


async def _run(arguments: argparse.Namespace) -> None:
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=0.5)
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:
        shared = _Shared(
            arguments=arguments,
            session=session,
            context=ssl.create_default_context(cafile=arguments.ca_file),
            listing=next(read_listing(QUERY)).target,
        )
        for number in range(arguments.clusters):
            group.create_task(_poll(number, shared))
        while True:
            await asyncio.sleep(1)
            used = resource.getrusage(resource.RUSAGE_SELF)
            print(shared.polls, used.ru_utime + used.ru_stime, flush=True)


async def _poll(number: int, shared: _Shared) -> None:
    clock = asyncio.get_running_loop().time
    arguments = shared.arguments
    headers = {"Authorization": aiohttp.encode_basic_auth(USERNAME, PASSWORD)}
    due = clock() + arguments.interval * number / arguments.clusters
    polls = number  # so that not all clusters are asked for facts at once
    while True:
        await asyncio.sleep(max(due - clock(), 0.0))
        due += arguments.interval
        polls += 1
        for target in (shared.listing, *(FACTS if polls % arguments.facts_every == 0 else ())):
            async with shared.session.get(
                URL(f"https://{address(number)}:{arguments.port}{target}", encoded=True),
                ssl=shared.context,
                server_hostname=SERVER_NAME,
                headers=headers,
            ) as response:
                await response.read()
        shared.polls += 1


if __name__ == "__main__":
    main()
