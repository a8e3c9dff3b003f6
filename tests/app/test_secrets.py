"""Nothing that the program emits holds a secret: no line, no page, no error, whatever it is sent."""

from __future__ import annotations

import base64
import json
import signal
from collections.abc import Iterator
from pathlib import Path

from exporter.simulator import Fault, FaultKind, SimulatedCluster, Simulator
from exporter.simulator.exporter_configuration import write_secret
from support.daemon_process import Daemon, program
from support.guarded import basic, hashed
from support.waiting import eventually

WAIT_SECONDS = 60.0
IN_PLACE = "in-place-Pa55 word"
IN_FILE = "in-file-Pa55/word+ü"
FROM_ENVIRON = "from-environ-Pa55word"
TOKEN = "token-3c1f9a.b2.c3"
PAGE_PASSWORD = "page-Pa55word"
STATE_PASSWORD = "state-Pa55word"
PAGES = (
    "/",
    "/?state=down",
    "/clusters/in-place",
    "/clusters/echoing",
    "/cleanup",
    "/cleanup/runs/1",
    "/metrics",
    "/config",
    "/sd",
    "/api/v1/clusters",
    "/api/v1/cleanup",
    "/probe?target=in-place",
    "/probe?target=echoing",
    "/-/healthy",
    "/-/ready",
    "/nowhere",
)


def forms(secret: str) -> Iterator[str]:
    """Give a secret as text, as JSON and as base64 writes it, alone and behind a user name."""
    yield secret
    yield json.dumps(secret)[1:-1]
    for text in (secret, f"monitor:{secret}", f"prometheus:{secret}"):
        yield base64.b64encode(text.encode()).decode().rstrip("=")


def leaks(emitted: str, *more: str) -> list[str]:
    secrets = (IN_PLACE, IN_FILE, FROM_ENVIRON, TOKEN, PAGE_PASSWORD, STATE_PASSWORD)
    wanted = {form for secret in secrets for form in forms(secret)} | set(more)
    return sorted(form for form in wanted if form in emitted)


def clusters() -> list[SimulatedCluster]:
    def cluster(name: str, **settings: object) -> SimulatedCluster:
        return SimulatedCluster(name, packages=["9.13.1"], **settings)  # type: ignore[arg-type]

    echoes = "no such login: " + "; ".join(
        (IN_PLACE, basic("monitor", IN_PLACE), basic("monitor", IN_PLACE)[6:].rstrip("="))
    )
    return [
        cluster("in-place", password=IN_PLACE),
        cluster("in-file", password=IN_FILE),
        cluster("from-environ", password=FROM_ENVIRON),
        cluster("token", bearer_token=TOKEN),
        cluster("refusing", password="something else"),
        cluster(
            "echoing",
            password=IN_PLACE,
            faults=[Fault(FaultKind.ERROR, status=500, code=4, message=echoes)],
        ),
    ]


def configuration(simulator: Simulator, directory: Path) -> dict[str, object]:
    password_file, token_file = directory / "password", directory / "token"
    write_secret(password_file, IN_FILE + "\n")
    write_secret(token_file, TOKEN + "\n")
    logins = {
        "in-place": {"basic_auth": {"username": "monitor", "password": IN_PLACE}},
        "in-file": {"basic_auth": {"username": "monitor", "password_file": str(password_file)}},
        "from-environ": {"basic_auth": {"username": "monitor", "password": "${MADE_UP_PASSWORD}"}},
        "token": {"authorization": {"credentials_file": str(token_file)}},
        "refusing": {"basic_auth": {"username": "monitor", "password": FROM_ENVIRON}},
        "echoing": {"basic_auth": {"username": "monitor", "password": IN_PLACE}},
    }
    return {
        "defaults": {"poll_interval": "1s", "tls_config": {"ca_file": str(simulator.ca_file)}},
        "clusters": [
            {"name": one.name, "address": one.address, **logins[one.name]} for one in simulator.clusters
        ],
        "cleanup": {
            "state": f"postgresql://cleaner:{STATE_PASSWORD}@127.0.0.1:1/nowhere",
            "policies": [{"name": "retire", "every": "1h", "older_than": "30d"}],
        },
    }


BROKEN = (
    {"clusters": [{"address": "127.0.0.1", "basic_auth": {"username": "monitor", "password:": IN_PLACE}}]},
    {"clusters": [{"address": f"https://monitor:{IN_PLACE}@127.0.0.1"}]},
    {"defaults": {"poll_interval": "${MADE_UP_PASSWORD}"}, "clusters": [{"address": "127.0.0.1"}]},
    {"clusters": [{"address": "127.0.0.1", "authorization": {"credentials": {TOKEN: TOKEN}}}]},
    {"cleanup": {"state": f"mysql://cleaner:{STATE_PASSWORD}@127.0.0.1/db", "policies": []}, "clusters": []},
)


async def everything(daemon: Daemon, login: dict[str, str]) -> str:
    """Return every answer of every page, with and without the right login, as one text."""
    emitted = []
    for path in PAGES:
        for headers in (login, {}, {"Authorization": basic("prometheus", "wrong")}):
            async with daemon.session.get(daemon.url + path, headers=headers) as response:
                emitted.append(f"{response.status} {response.headers} {await response.text()}")
    return "\n".join(emitted)


async def test_no_secret_is_in_anything_that_is_emitted(tmp_path: Path) -> None:
    bcrypt_hash = hashed(PAGE_PASSWORD)
    web = tmp_path / "web.yaml"
    write_secret(web, f"basic_auth_users: {{prometheus: '{bcrypt_hash}'}}\n")
    login = {"Authorization": basic("prometheus", PAGE_PASSWORD)}
    async with Simulator(clusters(), directory=tmp_path) as simulator:
        file = tmp_path / "config.yaml"
        good = json.dumps(configuration(simulator, tmp_path), ensure_ascii=False)
        write_secret(file, good)
        async with program(
            "run",
            f"--config.file={file}",
            f"--web.config.file={web}",
            "--web.listen-address=127.0.0.1:0",
            "--web.enable-lifecycle",
            "--log.level=debug",
            environ={"MADE_UP_PASSWORD": FROM_ENVIRON},
        ) as daemon:

            async def polled() -> bool:
                async with daemon.session.get(daemon.url + "/-/ready", headers=login) as response:
                    return response.status == 200

            await eventually(polled, seconds=WAIT_SECONDS, what="every cluster to be polled")
            await daemon.until_line("poll failed again")
            emitted = [await everything(daemon, login)]
            assert '"up": true' in emitted[0]
            assert "no such login" in emitted[0]
            for broken in BROKEN:
                write_secret(file, json.dumps(broken))
                async with daemon.session.post(daemon.url + "/-/reload", headers=login) as response:
                    assert response.status == 500
                    emitted.append(await response.text())
            write_secret(
                web, f"basic_auth_users: {{prometheus: '{bcrypt_hash}', '{bcrypt_hash}': nothing}}\n"
            )
            await daemon.until_line("new web configuration cannot be used")
            write_secret(file, good)
            daemon.process.send_signal(signal.SIGHUP)
            emitted.append(await everything(daemon, login))
            assert await daemon.stop() == 0
            emitted.append(daemon.output)
    assert not leaks("\n".join(emitted), bcrypt_hash, bcrypt_hash[7:])


def test_the_search_would_find_one() -> None:
    assert leaks(f"x {IN_PLACE} y") == [IN_PLACE]
    assert leaks(base64.b64encode(f"monitor:{IN_FILE}".encode()).decode())
