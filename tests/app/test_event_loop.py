"""A connection that is given up is a cluster's affair; any other error of the event loop is logged as one."""

from __future__ import annotations

import asyncio
import logging
import socket

import pytest
import uvloop

from exporter.app.event_loop import handle_loop_error

MESSAGE = "Fatal error on SSL protocol"


async def write_to_closed_transport() -> RuntimeError:
    """Do what uvloop does if a poll is cancelled while its connection comes about; return the error."""
    loop = asyncio.get_running_loop()
    closed = loop.create_future()

    class Closing(asyncio.Protocol):
        def connection_lost(self, exc: Exception | None) -> None:
            closed.set_result(exc)

    with socket.create_server(("127.0.0.1", 0)) as server:
        transport, _ = await loop.create_connection(Closing, *server.getsockname())
        transport.abort()
        await closed
    with pytest.raises(RuntimeError) as caught:
        transport.write(b"x")
    return caught.value


@pytest.mark.parametrize("is_given_up", [True, False])
def test_only_a_connection_that_is_given_up_is_no_error(
    caplog: pytest.LogCaptureFixture, *, is_given_up: bool
) -> None:
    async def report() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(handle_loop_error)
        error = await write_to_closed_transport() if is_given_up else RuntimeError("nobody thought of this")
        loop.call_exception_handler({"message": MESSAGE, "exception": error})

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(report())
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [record.getMessage() for record in errors] == ([] if is_given_up else [MESSAGE])
