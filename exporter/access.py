"""How one configured cluster is reached, by polls and by cleanup alike: they share what 401 has taught."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TypeVar

import aiohttp

from exporter.config import ClusterConfig
from exporter.ontap.client import OntapClient, RequestCounts
from exporter.ontap.errors import LoginPaused, Unauthorized
from exporter.ontap.listing import ListingQuery
from exporter.ontap.refusals import Refusals
from exporter.ontap.tls import TlsContexts
from exporter.ontap.wire import Conversation

T = TypeVar("T")

LONGEST_PATIENCE_SECONDS = 15


class ClusterAccess:
    """One cluster's client, and what is known of its willingness to be asked.

    Attributes:
        config: the cluster's configuration.
        client: talks to it.
        query: how its listing is asked for.
        refusals: of the credentials; whoever is answered with 401 adds one.
        fact_refusals: likewise where only a fact beside the listing was answered so.
    """

    def __init__(self, *, config: ClusterConfig, client: OntapClient) -> None:
        self.config = config
        self.client = client
        self.query = ListingQuery(
            endpoint=config.endpoint,
            return_timeout_seconds=config.return_timeout_seconds,
            max_records=config.max_records,
            patience_seconds=min(LONGEST_PATIENCE_SECONDS, int(config.poll_timeout.total_seconds()) - 1),
        )
        self.refusals = Refusals()
        self.fact_refusals = Refusals()

    @property
    def name(self) -> str:
        """The cluster's configured name."""
        return self.config.name

    def deadline(self, now: float) -> float:
        """Return when an exchange that begins now has to be over, in the event loop's time."""
        return now + self.config.poll_timeout.total_seconds()

    def accepts_login(self, now: float) -> bool:
        """Say whether the credentials may be sent: once refused, only after a pause or once changed.

        They are read again at every call after a refusal, so that a pause that ends does not send old ones.
        """
        if self.refusals.in_a_row and self.client.credentials_changed():
            self.refusals.clear()
        return now >= self.refusals.paused_until

    async def ask(self, conversation: Conversation[T], *, deadline: float | None = None) -> T:
        """Carry a conversation unless the credentials were refused a short while ago.

        Raises:
            LoginPaused: nothing was sent.
            OntapError: as the client; a 401 is added to the refusals.
        """
        clock = asyncio.get_running_loop().time
        if not self.accepts_login(clock()):
            conversation.close()
            raise LoginPaused("the credentials were refused a short while ago, so nothing was sent")
        try:
            return await self.client.converse(
                conversation, deadline=self.deadline(clock()) if deadline is None else deadline
            )
        except Unauthorized:
            self.refusals.add(clock())
            raise


def open_accesses(
    clusters: Iterable[ClusterConfig], *, session: aiohttp.ClientSession, counts: RequestCounts
) -> Mapping[str, ClusterAccess]:
    """Make ready to reach clusters over a session; nothing is sent yet.

    Returns:
        one access for each cluster, by name, in their order.
    """
    contexts = TlsContexts()
    return MappingProxyType(
        {
            cluster.name: ClusterAccess(
                config=cluster,
                client=OntapClient(
                    session=session,
                    contexts=contexts,
                    endpoint=cluster.endpoint,
                    login=cluster.login,
                    tls=cluster.tls,
                    counts=counts,
                    jitter=random.random,
                ),
            )
            for cluster in clusters
        }
    )
