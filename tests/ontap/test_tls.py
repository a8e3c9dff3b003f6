"""TLS contexts are few, are built beside the event loop, and follow their files."""

from __future__ import annotations

import asyncio
import os
import ssl
import threading
from pathlib import Path

import pytest
import trustme

from exporter.ontap.cluster_settings import Tls, TlsVersion
from exporter.ontap.errors import TlsFailed
from exporter.ontap.tls import TlsContexts, build_context


def authority(directory: Path) -> Path:
    file = directory / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(file))
    return file


class Builds(list[threading.Thread]):
    """Builds contexts, and names the thread of every one."""

    def __call__(self, tls: Tls) -> ssl.SSLContext:
        self.append(threading.current_thread())
        return build_context(tls)


async def test_contexts_are_shared_between_equal_settings() -> None:
    contexts = TlsContexts()
    assert await contexts.context(Tls()) is await contexts.context(Tls())
    assert await contexts.context(Tls()) is not await contexts.context(Tls(insecure_skip_verify=True))
    assert await contexts.context(Tls()) is not await contexts.context(Tls(min_version=TlsVersion.TLS13))


async def test_a_server_name_needs_no_context_of_its_own() -> None:
    contexts = TlsContexts()
    names = [None, "one.example", "two.example"]
    built = [await contexts.context(Tls(server_name=name)) for name in names]
    assert len(set(map(id, built))) == 1


async def test_a_context_is_built_once_for_all_who_wait_and_beside_the_event_loop() -> None:
    builds = Builds()
    contexts = TlsContexts(build=builds)
    built = await asyncio.gather(*(contexts.context(Tls(server_name=f"c{i}")) for i in range(20)))
    assert len(set(map(id, built))) == len(builds) == 1
    assert builds[0] is not threading.current_thread()


async def test_who_gives_up_waiting_takes_the_context_from_nobody() -> None:
    builds = Builds()
    contexts = TlsContexts(build=builds)
    impatient = asyncio.create_task(contexts.context(Tls()))
    patient = asyncio.create_task(contexts.context(Tls()))
    await asyncio.sleep(0)
    impatient.cancel()
    assert isinstance(await patient, ssl.SSLContext)
    assert impatient.cancelled()
    assert len(builds) == 1


async def test_a_changed_file_makes_a_new_context(tmp_path: Path) -> None:
    contexts = TlsContexts(check_seconds=0.0)
    tls = Tls(ca_file=authority(tmp_path))
    first = await contexts.context(tls)
    assert await contexts.context(tls) is first
    authority(tmp_path)
    assert await contexts.context(tls) is not first


async def test_files_are_checked_now_and_then_or_when_asked(tmp_path: Path) -> None:
    contexts = TlsContexts(check_seconds=3600.0)
    tls = Tls(ca_file=authority(tmp_path))
    first = await contexts.context(tls)
    authority(tmp_path)
    assert await contexts.context(tls) is first
    contexts.recheck(tls)
    assert await contexts.context(tls) is not first


async def test_a_context_serves_on_while_the_disk_of_its_files_does_not_answer(tmp_path: Path) -> None:
    answers = threading.Event()
    answers.set()

    def build(tls: Tls) -> ssl.SSLContext:
        assert answers.wait(10)
        return build_context(tls)

    contexts = TlsContexts(build=build, check_seconds=0.0)
    tls = Tls(ca_file=authority(tmp_path))
    first = await contexts.context(tls)
    answers.clear()
    authority(tmp_path)
    for _ in range(3):
        assert await contexts.context(tls) is first
    answers.set()
    async with asyncio.timeout(60):
        while await contexts.context(tls) is first:
            pass


async def test_contexts_that_nobody_has_in_use_are_dropped(tmp_path: Path) -> None:
    builds = Builds()
    contexts = TlsContexts(build=builds)
    used = Tls(ca_file=authority(tmp_path), server_name="c1.example")
    unused = Tls(insecure_skip_verify=True)
    kept, dropped = await contexts.context(used), await contexts.context(unused)
    contexts.keep([used])
    assert await contexts.context(used) is kept
    assert len(builds) == 2
    assert await contexts.context(unused) is not dropped
    assert len(builds) == 3


async def test_a_file_that_could_be_waited_for_without_end_is_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "ca.pem"
    os.mkfifo(pipe)
    with pytest.raises(TlsFailed, match="not a regular file"):
        await TlsContexts().context(Tls(ca_file=pipe))


async def test_files_that_cannot_be_used_can_be_once_they_are_right(tmp_path: Path) -> None:
    contexts = TlsContexts()
    file = tmp_path / "ca.pem"
    file.write_text("garbage")
    for _ in range(2):
        with pytest.raises(TlsFailed):
            await contexts.context(Tls(ca_file=file))
    assert isinstance(await contexts.context(Tls(ca_file=authority(tmp_path))), ssl.SSLContext)
