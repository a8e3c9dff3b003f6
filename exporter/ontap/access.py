"""How one configured cluster is reached, by polls and by cleanup alike: they share what 401 has taught."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeVar

import aiohttp

from exporter.ontap.client import OntapClient, RequestCounts, RequestInFlight
from exporter.ontap.credentials import Credentials
from exporter.ontap.endpoint import BasicLogin, ClusterSettings, Endpoint, TokenLogin
from exporter.ontap.errors import LoginPaused, Unauthorized
from exporter.ontap.listing import ListingQuery
from exporter.ontap.refusals import NOTHING_SENT, Refusals
from exporter.ontap.tls import TlsContexts
from exporter.ontap.wire import Conversation

T = TypeVar("T")

LONGEST_PATIENCE_SECONDS = 15


AccountKey = tuple[Endpoint, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What an account on a cluster has refused; it is the account that ONTAP locks."""

    refusals: Refusals = field(default_factory=Refusals)
    fact_refusals: Refusals = field(default_factory=Refusals)


def _account_of(cluster: ClusterSettings) -> AccountKey:
    """Name the account that a cluster's login is for, whatever its secret."""
    match cluster.login:
        case BasicLogin(username=username):
            return cluster.endpoint, f"user {username}"
        case TokenLogin(type=scheme):
            return cluster.endpoint, f"token {scheme}"
        case None:
            return cluster.endpoint, "certificate"


def _asked_by(cluster: ClusterSettings) -> tuple[object, ...]:
    """Return the settings that decide what a cluster is asked, and how."""
    return (
        *(cluster.endpoint, cluster.login, cluster.tls),
        *(cluster.poll_timeout, cluster.return_timeout_seconds, cluster.max_records),
    )


class ClusterAccess:
    """One cluster's client, and what is known of its willingness to be asked.

    Attributes:
        config: the cluster's configuration.
        client: talks to it.
        query: how its listing is asked for.
        refusals: of the account; whoever is answered with 401 notes it.
        fact_refusals: likewise where only a fact beside the listing was answered so.
        asked_to_wait_until: before then, in the event loop's time, the cluster asked not to be polled.
    """

    def __init__(
        self, *, config: ClusterSettings, client: OntapClient, account: Account | None = None
    ) -> None:
        account = account or Account()
        self.config = config
        self.client = client
        self.query = ListingQuery(
            endpoint=config.endpoint,
            return_timeout_seconds=config.return_timeout_seconds,
            max_records=config.max_records,
            patience_seconds=min(LONGEST_PATIENCE_SECONDS, int(config.poll_timeout.total_seconds()) - 1),
        )
        self.refusals = account.refusals
        self.fact_refusals = account.fact_refusals
        self.asked_to_wait_until = float("-inf")

    @property
    def name(self) -> str:
        """The cluster's configured name."""
        return self.config.name

    def deadline(self, now: float) -> float:
        """Return when an exchange that begins now has to be over, in the event loop's time."""
        return now + self.config.poll_timeout.total_seconds()

    def accepts_login(self, now: float) -> bool:
        """Say whether the credentials may be sent: after a refusal only once the pause is over, or others.

        They are read again at every call after a refusal, so that a pause that ends does not send old ones.
        """
        has_others = bool(self.refusals.in_a_row) and self._has_others(now)
        return has_others or now >= self.refusals.paused_until

    def logs_in_like(self, cluster: ClusterSettings) -> bool:
        """Say whether a configuration has this cluster's address and login."""
        return (self.config.endpoint, self.config.login) == (cluster.endpoint, cluster.login)

    def asks_like(self, cluster: ClusterSettings) -> bool:
        """Say whether a configuration asks the same, at other times perhaps, or under other labels."""
        return _asked_by(self.config) == _asked_by(cluster)

    def credentials_renewed(self, now: float) -> bool:
        """Have the secret read again; say whether there are others than those that were refused."""
        if self.refusals.in_a_row:
            return self._has_others(now)
        if self.fact_refusals.in_a_row:
            return self.client.credentials.changed()
        self.client.credentials.forget()
        return False

    def note_refusal(self, now: float) -> None:
        """Take note that the cluster has refused what was sent."""
        self.refusals.add(now, self.client.credentials.sent_fingerprint)

    def _has_others(self, now: float) -> bool:
        """Read the secret again; say whether it is one that the account has not refused lately."""
        credentials = self.client.credentials
        credentials.changed()
        return bool(credentials.fingerprint) and self.refusals.may_try(credentials.fingerprint, now)

    async def ask(
        self,
        conversation: Conversation[T],
        *,
        deadline: float | None = None,
        in_flight: RequestInFlight | None = None,
    ) -> T:
        """Carry a conversation unless the credentials were refused a short while ago.

        Args:
            conversation: see :mod:`exporter.ontap.wire`.
            deadline: in the event loop's time; by default that of a poll.
            in_flight: told when a request goes out.

        Raises:
            LoginPaused: nothing was sent.
            OntapError: as the client; a 401 is added to the refusals.
        """
        clock = asyncio.get_running_loop().time
        if not self.accepts_login(clock()):
            conversation.close()
            raise LoginPaused(NOTHING_SENT)
        try:
            return await self.client.converse(
                conversation,
                deadline=self.deadline(clock()) if deadline is None else deadline,
                in_flight=in_flight,
            )
        except Unauthorized:
            self.note_refusal(clock())
            raise


class AccessOpener:
    """Makes ready to reach clusters over a session; nothing is sent yet.

    Args:
        session: carries all requests.
        counts: where they are counted.
    """

    def __init__(self, *, session: aiohttp.ClientSession, counts: RequestCounts) -> None:
        self._session = session
        self._counts = counts
        self._contexts = TlsContexts()
        self._accounts: dict[AccountKey, Account] = {}

    def open(
        self,
        clusters: Iterable[ClusterSettings],
        *,
        before: Mapping[str, ClusterAccess] = MappingProxyType({}),
    ) -> Mapping[str, ClusterAccess]:
        """Open an access for each cluster, or take it over where the cluster is asked the same as before.

        Every secret is read again. Other credentials than those that an account has refused make an access
        of its own, so that they are tried at once. What an account has refused stays paused, whatever the
        cluster is called now, and for a while after nobody has used the account.

        Args:
            clusters: their configuration.
            before: the accesses so far, by name.

        Returns:
            one access for each cluster, by name, in their order.
        """
        clusters = tuple(clusters)
        self._contexts.keep(one.tls for one in clusters)
        now = asyncio.get_running_loop().time()
        used = {_account_of(one) for one in clusters}
        self._accounts = {
            key: account
            for key, account in self._accounts.items()
            if key in used or account.refusals.outlasts(now)
        }
        return MappingProxyType({one.name: self._open(one, before.get(one.name), now) for one in clusters})

    def _open(self, cluster: ClusterSettings, earlier: ClusterAccess | None, now: float) -> ClusterAccess:
        if earlier is None or not earlier.logs_in_like(cluster):
            return self._access(cluster, Credentials(cluster.login, cluster.tls))
        earlier.client.credentials.use_certificate_of(cluster.tls)
        renewed = earlier.credentials_renewed(now)
        if earlier.asks_like(cluster) and not renewed:
            earlier.config = cluster
            return earlier
        access = self._access(cluster, earlier.client.credentials)
        access.asked_to_wait_until = earlier.asked_to_wait_until
        return access

    def _access(self, cluster: ClusterSettings, credentials: Credentials) -> ClusterAccess:
        client = OntapClient(
            session=self._session,
            contexts=self._contexts,
            endpoint=cluster.endpoint,
            credentials=credentials,
            tls=cluster.tls,
            counts=self._counts,
            jitter=random.random,
        )
        account = self._accounts.setdefault(_account_of(cluster), Account())
        return ClusterAccess(config=cluster, client=client, account=account)


def open_accesses(
    clusters: Iterable[ClusterSettings], *, session: aiohttp.ClientSession, counts: RequestCounts
) -> Mapping[str, ClusterAccess]:
    """Make ready to reach clusters over a session; nothing is sent yet.

    Returns:
        one access for each cluster, by name, in their order.
    """
    return AccessOpener(session=session, counts=counts).open(clusters)
