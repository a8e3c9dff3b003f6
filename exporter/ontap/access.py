"""How polls and cleanup reach one cluster. They use the same account, so they share its refusals."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import TypeVar
from weakref import WeakValueDictionary

import aiohttp

from exporter.background import in_slices
from exporter.ontap.client import OntapClient, RequestCounts, SendGate
from exporter.ontap.cluster_settings import (
    BasicLogin,
    ClusterSettings,
    Endpoint,
    OAuth2Login,
    Tls,
    TokenLogin,
)
from exporter.ontap.credentials import Credentials, LoginReader, read_login
from exporter.ontap.errors import LoginPaused, OntapError, Unauthorized
from exporter.ontap.proxy_headers import proxy_secrets
from exporter.ontap.refusals import FIRST_PAUSE_SECONDS, NOTHING_SENT, Refusals
from exporter.ontap.requests.listing import CollectionQuery
from exporter.ontap.requests.messages import Conversation
from exporter.ontap.requests.paging import DEFAULT_RETURN_TIMEOUT_SECONDS
from exporter.ontap.tls import TlsContexts
from exporter.ontap.tokens import TokenSource

T = TypeVar("T")

LONGEST_REQUESTED_PAUSE_SECONDS = 3600.0
"""The longest pause that a cluster can ask for (Retry-After)."""

RENEW_SECONDS = 2.0
"""How long a reload waits for new passwords and tokens of refused accounts; later ones are found by polls."""

AccountKey = tuple[Endpoint, str]


class Account:
    """What stops requests with one account on a cluster; times are the event loop's.

    ONTAP locks the account, so all its users share its refusals.

    Attributes:
        refusals: the refusals that stop all requests, for example after a wrong password.
        fact_refusals: the refusals that stop requests for facts; the listing may still be readable.
        deletions_wait_until: until then, no deletion begins, since the cluster asked for a pause
            (Retry-After).
        polls_wait_until: the same for polls; an answer to a request for a fact does not count here.
    """

    def __init__(self, first_pause_seconds: float) -> None:
        self.refusals = Refusals(first_pause_seconds=first_pause_seconds)
        self.fact_refusals = Refusals(first_pause_seconds=first_pause_seconds)
        self.deletions_wait_until = self.polls_wait_until = float("-inf")

    def must_be_remembered(self, now: float) -> bool:
        """Say whether its refusals must be remembered although no cluster uses it."""
        return self.refusals.must_be_remembered(now) or self.fact_refusals.must_be_remembered(now)


class ClusterAccess:
    """One cluster's client, and when requests may be sent.

    ``query`` says how the collections of the cluster are asked for.
    """

    def __init__(self, *, config: ClusterSettings, client: OntapClient, account: Account) -> None:
        self.config = config
        self.client = client
        self.account = account
        self.query = CollectionQuery(
            endpoint=config.endpoint,
            return_timeout_seconds=config.return_timeout_seconds,
            max_records=config.max_records,
            confirmation_timeout_seconds=min(
                DEFAULT_RETURN_TIMEOUT_SECONDS, int(config.poll_timeout.total_seconds()) - 1
            ),
        )

    @property
    def name(self) -> str:
        """The cluster's configured name."""
        return self.config.name

    def deadline(self, now: float) -> float:
        """Return when a poll that begins now must end, in the event loop's time."""
        return now + self.config.poll_timeout.total_seconds()

    async def ask(
        self,
        conversation: Conversation[T],
        *,
        deadline: float | None = None,
        is_fact: bool = False,
        gate: SendGate | None = None,
    ) -> T:
        """Send a conversation, unless the account refused these credentials a short while ago.

        After a refusal, the credentials are read again first. New credentials may be sent at once.

        Args:
            conversation: what to ask.
            deadline: in the event loop's time; by default that of a poll.
            is_fact: whether a 401 pauses only requests for facts, not the listing.
            gate: asked before a request goes out.

        Raises:
            LoginPaused: nothing was sent.
            OntapError: as :meth:`~exporter.ontap.client.OntapClient.converse`; a 401 counts as a refusal.
        """
        clock = asyncio.get_running_loop().time
        account = self.account
        try:
            if deadline is None:
                deadline = self.deadline(clock())
            await self._check_login(deadline, is_fact=is_fact)
            refused = account.refusals.in_a_row
            result = await self.client.converse(conversation, deadline=deadline, gate=gate)
        except Unauthorized:
            refusals = account.fact_refusals if is_fact else account.refusals
            refusals.add(clock(), self.client.credentials.sent)
            if not is_fact:
                self.client.credentials.drop_token()
            raise
        except OntapError as exc:
            if exc.retry_after_seconds is not None:
                until = clock() + min(exc.retry_after_seconds, LONGEST_REQUESTED_PAUSE_SECONDS)
                account.deletions_wait_until = max(account.deletions_wait_until, until)
                if not is_fact:
                    account.polls_wait_until = max(account.polls_wait_until, until)
            raise
        finally:
            conversation.close()
        if not is_fact and refused == account.refusals.in_a_row:
            account.refusals.accepted()
        return result

    def has_untried_login(self, now: float) -> bool:
        """Say whether the account has refused credentials and there are others, which may be sent now."""
        refusals, credentials = self.account.refusals, self.client.credentials
        return bool(refusals.in_a_row) and credentials.are_unsent and refusals.allows(credentials.known, now)

    async def _check_login(self, deadline: float, *, is_fact: bool) -> None:
        """Check that the credentials may be sent.

        Raises:
            LoginPaused: they may not.
        """
        account = self.account
        if account.refusals.in_a_row:
            with suppress(TimeoutError):  # a token endpoint may hang
                async with asyncio.timeout_at(deadline):
                    await self.client.renew_login()
        now = asyncio.get_running_loop().time()
        needed = (account.refusals, account.fact_refusals) if is_fact else (account.refusals,)
        if not all(one.allows(self.client.credentials.known, now) for one in needed):
            raise LoginPaused(NOTHING_SENT)


class AccessOpener:
    """Opens the access to each cluster; nothing is sent yet."""

    def __init__(
        self,
        *,
        session: aiohttp.ClientSession,
        counts: RequestCounts,
        read_login: LoginReader = read_login,
        first_pause_seconds: float = FIRST_PAUSE_SECONDS,
    ) -> None:
        self._session = session
        self._counts = counts
        self._read_login = read_login
        self._first_pause_seconds = first_pause_seconds
        self._contexts = TlsContexts()
        self._tokens: WeakValueDictionary[OAuth2Login, TokenSource] = WeakValueDictionary()
        self._accounts: dict[AccountKey, Account] = {}

    def open(self, clusters: Iterable[ClusterSettings]) -> Mapping[str, ClusterAccess]:
        """Return one access for each cluster, by name, in their order."""
        return MappingProxyType({one.name: self._access(one) for one in clusters})

    async def reopen(
        self, clusters: Iterable[ClusterSettings], *, before: Mapping[str, ClusterAccess]
    ) -> Mapping[str, ClusterAccess]:
        """As :meth:`open`, but keep the earlier access if the settings for requests are the same.

        The credentials of refused accounts are read again now, so that new ones can be tried at once.
        Refusals are kept when a cluster is renamed, and for an hour after an account is no longer used.
        """
        clusters = tuple(clusters)
        await self._forget_unused(clusters)
        accesses = {one.name: self._reopened(one, before.get(one.name)) async for one in in_slices(clusters)}
        with suppress(TimeoutError):  # a token endpoint or a disk that hangs does not hold up a reload
            async with asyncio.timeout(RENEW_SECONDS), asyncio.TaskGroup() as group:
                async for access in in_slices(accesses.values()):
                    if access.account.refusals.in_a_row:
                        group.create_task(access.client.renew_login())
        return MappingProxyType(accesses)

    async def _forget_unused(self, clusters: Iterable[ClusterSettings]) -> None:
        settings_of_tls: set[Tls] = set()
        used: set[AccountKey] = set()
        async for one in in_slices(clusters):
            settings_of_tls.add(one.tls)
            if isinstance(one.login, OAuth2Login):
                settings_of_tls.add(one.login.tls)
            used.add(_account_of(one))
        self._contexts.keep(settings_of_tls)
        now = asyncio.get_running_loop().time()
        async for key, account in in_slices(tuple(self._accounts.items())):
            if key not in used and not account.must_be_remembered(now):
                del self._accounts[key]

    def _reopened(self, cluster: ClusterSettings, earlier: ClusterAccess | None) -> ClusterAccess:
        if earlier is None or _what_is_sent(earlier.config) != _what_is_sent(cluster):
            return self._access(cluster)
        if _request_settings(earlier.config) != _request_settings(cluster):
            return self._access(cluster, earlier.client.credentials)
        earlier.config = cluster
        return earlier

    def _access(self, cluster: ClusterSettings, credentials: Credentials | None = None) -> ClusterAccess:
        client = OntapClient(
            session=self._session,
            contexts=self._contexts,
            endpoint=cluster.endpoint,
            credentials=credentials or self._credentials(cluster),
            tls=cluster.tls,
            proxy=cluster.proxy,
            counts=self._counts,
        )
        account = self._accounts.setdefault(_account_of(cluster), Account(self._first_pause_seconds))
        return ClusterAccess(config=cluster, client=client, account=account)

    def _credentials(self, cluster: ClusterSettings) -> Credentials:
        return Credentials(
            cluster.login,
            cluster.tls,
            headers=cluster.headers,
            tokens=self._token_source(cluster.login) if isinstance(cluster.login, OAuth2Login) else None,
            other_secrets=proxy_secrets(cluster.proxy),
            read=self._read_login,
        )

    def _token_source(self, login: OAuth2Login) -> TokenSource:
        if (source := self._tokens.get(login)) is None:
            source = TokenSource(login, session=self._session, contexts=self._contexts)
            self._tokens[login] = source
        return source


def _account_of(cluster: ClusterSettings) -> AccountKey:
    """Return what identifies the account of a cluster's login."""
    match cluster.login:
        case BasicLogin(username=username, username_file=file):
            return cluster.endpoint, f"user {username or file}"
        case TokenLogin(type=scheme):
            return cluster.endpoint, f"token {scheme}"
        case OAuth2Login(client_id=client):
            return cluster.endpoint, f"client {client}"
        case None:
            return cluster.endpoint, "certificate"


def _what_is_sent(cluster: ClusterSettings) -> tuple[object, ...]:
    """Return the address, and what identifies us there: the credentials are for these."""
    return (
        *(cluster.endpoint, cluster.login, cluster.headers, cluster.proxy),
        cluster.tls.certificate_files,
    )


def _request_settings(cluster: ClusterSettings) -> tuple[object, ...]:
    """Return the settings that decide which requests are sent, and how."""
    return (
        *_what_is_sent(cluster),
        *(cluster.tls, cluster.poll_timeout, cluster.return_timeout_seconds, cluster.max_records),
    )
