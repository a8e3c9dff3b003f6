"""Whatever one cluster sends, the event loop goes on: other clusters and scrapes hardly wait."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from exporter.ontap.client import MAX_BODY_BYTES, OntapClient, RequestCounts
from exporter.ontap.cluster_settings import BasicLogin, Endpoint, Secret, Tls
from exporter.ontap.credentials import Credentials
from exporter.ontap.errors import OntapError, Reason
from exporter.ontap.requests.listing import CollectionQuery, Listing, read_listing
from exporter.ontap.requests.messages import MAX_JSON_MARKS as MARKS
from exporter.ontap.session import MAX_HEADER_LINE_BYTES, MAX_INTERIM_ANSWERS, open_session
from exporter.ontap.tls import TlsContexts
from support.hostile_cluster import answer, hostile_cluster
from support.loop_lag import loop_lag

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
MOST_LAG_SECONDS = 0.05
DEADLINE_SECONDS = 60.0
PASSWORD = "hunter2-secret"
BIG = 8 * 1024 * 1024
GOOD = b'{"records": [{"version": "9.14.1"}]}'


def filled(begin: bytes, filling: bytes, end: bytes, size: int = MAX_BODY_BYTES) -> bytes:
    """Repeat a filling until the whole has nearly the size."""
    return begin + filling * ((size - len(begin) - len(end)) // len(filling)) + end


def zipped(body: bytes) -> bytes:
    packed = gzip.compress(body, 9)
    return answer(packed, headers="Content-Encoding: gzip\r\n")


def chunked(chunk: bytes, count: int) -> bytes:
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk * count + b"0\r\n\r\n"


NESTED = b"[" * 900 + b"]" * 900 + b","
HOSTILE: dict[str, tuple[Callable[[], bytes], set[Reason]]] = {
    "nested lists, zipped": (
        lambda: zipped(filled(b'{"records": [', NESTED, b"1]}", BIG)),
        {Reason.BAD_RESPONSE},
    ),
    "nested lists": (lambda: answer(filled(b'{"records": [', NESTED, b"1]}")), {Reason.BAD_RESPONSE}),
    "few nested lists": (
        lambda: answer(filled(b'{"records": [', NESTED, b"1]}", 2 * MARKS - 10_000)),
        set(),
    ),
    "brackets alone": (lambda: answer(b"[" * MAX_BODY_BYTES), {Reason.BAD_RESPONSE}),
    "some brackets alone": (lambda: answer(b"[" * MARKS), {Reason.BAD_RESPONSE}),
    "small records": (
        lambda: answer(filled(b'{"records": [', b"{},", b"{}]}")),
        {Reason.BAD_RESPONSE},
    ),
    "records, as many as are decoded": (
        lambda: answer(filled(b'{"records": [', b"{},", b"{}]}", 3 * MARKS // 2 - 100)),
        {Reason.INCOMPLETE},
    ),
    "an object of many keys": (
        lambda: answer(b'{"records": [{' + b",".join(b'"%d":1' % n for n in range(MARKS // 2 - 10)) + b"}]}"),
        set(),
    ),
    "escapes": (lambda: answer(filled(b'{"error": "', rb"\u0041", b'"}')), {Reason.BAD_RESPONSE}),
    "as many escapes as are decoded": (
        lambda: answer(filled(b'{"error": "', rb"\u0041", b'"}', 6 * (MARKS - 10))),
        {Reason.BAD_RESPONSE},
    ),
    "escaped surrogates in a message": (
        lambda: answer(
            filled(b'{"error": {"message": "', rb"\ud800", b'"}}', 6 * (MARKS - 10)),
            status="500 Error",
        ),
        {Reason.API_ERROR},
    ),
    "surrogates in a message": (
        lambda: answer(filled(b'{"error": {"message": "', b"\xed\xa0\x80", b'"}}'), status="500 Error"),
        {Reason.BAD_RESPONSE},
    ),
    "a message of the password": (
        lambda: answer(
            filled(b'{"error": {"message": "', PASSWORD.encode() + b" ", b'"}}'), status="500 Error"
        ),
        {Reason.API_ERROR},
    ),
    "a page of the password": (
        lambda: answer(filled(b"", PASSWORD.encode(), b"")),
        {Reason.BAD_RESPONSE},
    ),
    "a long fraction": (lambda: answer(filled(b'{"records": [0.', b"1234567890", b"]}")), set()),
    "fractions": (lambda: answer(filled(b'{"records": [', b"0." + b"12345" * 9 + b",", b"1]}")), set()),
    "numbers": (lambda: answer(filled(b'{"records": [', b"9" * 4000 + b",", b"1]}")), set()),
    "a version of two megabytes": (
        lambda: answer(filled(b'{"records": [{"version": "', b"9.1.", b'"}]}')),
        set(),
    ),
    "a long next link": (
        lambda: answer(filled(b'{"records": [], "_links": {"next": {"href": "//', b"a", b'"}}}')),
        {Reason.BAD_RESPONSE},
    ),
    "no JSON": (lambda: answer(b"x" * MAX_BODY_BYTES), {Reason.BAD_RESPONSE}),
    "no UTF-8": (lambda: answer(b"\xff" * MAX_BODY_BYTES), {Reason.BAD_RESPONSE}),
    "chunks of one byte": (
        lambda: chunked(b"1\r\n \r\n", 100_000),
        {Reason.BAD_RESPONSE},
    ),
    "chunks with extensions": (
        lambda: chunked(b"1;a=b\r\n \r\n", 100_000),
        {Reason.BAD_RESPONSE},
    ),
    "interim answers": (
        lambda: b"HTTP/1.1 100 Continue\r\n\r\n" * 100_000,
        {Reason.BAD_RESPONSE},
    ),
    "interim answers with headers": (
        lambda: b"HTTP/1.1 103 Early Hints\r\na: b\r\nc: d\r\n\r\n" * 200_000,
        {Reason.BAD_RESPONSE},
    ),
    "many header lines": (
        lambda: b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 1_000_000,
        {Reason.BAD_RESPONSE},
    ),
    "long header lines": (
        lambda: b"HTTP/1.1 200 OK\r\n" + (b"a: " + b"b" * 60_000 + b"\r\n") * 200,
        {Reason.BAD_RESPONSE},
    ),
    "a header line without end": (
        lambda: b"HTTP/1.1 200 OK\r\na: " + b"b" * BIG,
        {Reason.BAD_RESPONSE},
    ),
    "empty gzip members": (
        lambda: answer(gzip.compress(b"") * 100_000, headers="Content-Encoding: gzip\r\n"),
        {Reason.BAD_RESPONSE},
    ),
    "empty gzip blocks": (
        lambda: answer(
            gzip.compress(b"")[:10] + b"\0\0\0\xff\xff" * 1_000_000, headers="Content-Encoding: gzip\r\n"
        ),
        {Reason.BAD_RESPONSE},
    ),
    "gzip that inflates a thousandfold": (lambda: zipped(b" " * (4 * BIG)), {Reason.BAD_RESPONSE}),
}


async def ask(endpoint: Endpoint, tls: Tls) -> tuple[Listing | OntapError, float]:
    """Read a listing; return it or why not, and the loop's lag meanwhile."""
    async with open_session() as session:
        client = OntapClient(
            session=session,
            contexts=TlsContexts(),
            endpoint=endpoint,
            credentials=Credentials(BasicLogin(username="monitor", password=Secret(value=PASSWORD))),
            tls=tls,
            counts=RequestCounts(),
        )
        query = CollectionQuery(endpoint=endpoint, return_timeout_seconds=15, max_records=500)
        deadline = asyncio.get_running_loop().time() + DEADLINE_SECONDS
        async with loop_lag() as lag:
            try:
                result: Listing | OntapError = await client.converse(read_listing(query), deadline=deadline)
            except OntapError as exc:
                result = exc
    return result, lag.longest_seconds


def asked(reply: bytes, directory: Path, *, loop: str = "uvloop") -> tuple[Listing | OntapError, float]:
    """Ask a server that gives one reply to everything."""
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        with hostile_cluster(reply, directory) as (endpoint, tls):
            answered = runner.run(ask(endpoint, tls))
        runner.run(some_turns())  # the server has shut what the client was still closing: it closes now
        return answered


async def some_turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_that_a_cluster_sends_holds_up_the_event_loop(loop: str, name: str, tmp_path: Path) -> None:
    reply, reasons = HOSTILE[name]
    sent = reply()
    result, lag_seconds = asked(sent, tmp_path, loop=loop)
    if lag_seconds >= MOST_LAG_SECONDS:  # on a busy machine, the same work may take more processor time
        result, lag_seconds = asked(sent, tmp_path, loop=loop)
    if reasons:
        assert isinstance(result, OntapError)
        assert result.reason in reasons
        assert PASSWORD not in str(result)
    assert lag_seconds < MOST_LAG_SECONDS


def test_some_interim_answers_are_passed_over(tmp_path: Path) -> None:
    for count, is_read in ((MAX_INTERIM_ANSWERS, True), (MAX_INTERIM_ANSWERS + 1, False)):
        result, _ = asked(b"HTTP/1.1 100 Continue\r\n\r\n" * count + answer(GOOD), tmp_path)
        assert isinstance(result, Listing) == is_read


def test_a_header_line_may_have_64_kib(tmp_path: Path) -> None:
    name = "Set-Cookie: "
    for size, is_read in ((MAX_HEADER_LINE_BYTES - len(name), True), (2 * MAX_HEADER_LINE_BYTES, False)):
        result, _ = asked(answer(GOOD, headers=f"{name}{'x' * size}\r\n"), tmp_path)
        assert isinstance(result, Listing) == is_read


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "x-gzip", "identity", ""])
def test_a_body_may_be_zipped(encoding: str, tmp_path: Path) -> None:
    body = gzip.compress(GOOD) if "gzip" in encoding.lower() else GOOD
    result, _ = asked(answer(body, headers=f"Content-Encoding: {encoding}\r\n"), tmp_path)
    assert isinstance(result, Listing)
    assert [package.version for package in result.packages] == ["9.14.1"]


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", GOOD),
        ("gzip", gzip.compress(GOOD)[:-9]),
        ("gzip", gzip.compress(GOOD) + GOOD),
        ("gzip", gzip.compress(GOOD)[:-8] + bytes(8)),
        ("gzip", b""),
        ("deflate", zlib.compress(GOOD)),
        ("br", GOOD),
        ("gzip, gzip", gzip.compress(gzip.compress(GOOD))),
    ],
    ids=["plain", "cut", "followed", "wrong sum", "empty", "deflate", "br", "twice"],
)
def test_a_body_that_cannot_be_unpacked_is_a_bad_response(encoding: str, body: bytes, tmp_path: Path) -> None:
    result, _ = asked(answer(body, headers=f"Content-Encoding: {encoding}\r\n"), tmp_path)
    assert isinstance(result, OntapError)
    assert result.reason is Reason.BAD_RESPONSE


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nBad Header ECHO\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nGood: \x00ECHO\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nLong: ECHO" + b"x" * 2 * MAX_HEADER_LINE_BYTES + b"\r\n\r\n",
        b"HTTP/1.1 ECHO\r\n\r\n",
        b"ECHO",
    ],
)
def test_an_answer_that_is_not_http_is_not_quoted_since_it_may_hold_what_was_sent(
    reply: bytes, tmp_path: Path
) -> None:
    result, _ = asked(reply, tmp_path)
    assert isinstance(result, OntapError)
    assert str(result).startswith("the answer is not valid HTTP: ")
    assert "ECHO" not in str(result)
