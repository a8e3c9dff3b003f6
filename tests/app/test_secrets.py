"""Nothing that the program emits holds a secret: no line, no page, no error, whatever it is sent."""

from __future__ import annotations

import base64
import html
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from exporter.simulator import Fault, FaultKind, SimulatedCluster, Simulator
from exporter.simulator.exporter_configuration import write_secret
from support.connect_proxy import ConnectProxy, connect_proxy
from support.daemon_process import Daemon, program
from support.guarded import basic, hashed
from support.token_endpoint import TokenEndpoint, token_endpoint
from support.waiting import eventually

WAIT_SECONDS = 60.0
IN_PLACE = "in-place-Pa55 word"
IN_FILE = "in-file-Pa55/word+ü"
FROM_ENVIRON = "from-environ-Pa55word"
TOKEN = "token-3c1f9a.b2.c3"
PAGE_PASSWORD = "page-Pa55word"
STATE_PASSWORD = "state-Pa55word"
CLIENT_SECRET = "client-s3cret/word+"
FETCHED = "fetched-7d21e0.c4"
PROXY_PASSWORD = "proxy-Pa55/word"
HEADER = "header-Pa55word"
PAGES = (
    "/",
    "/?state=down",
    "/clusters/in-place",
    "/clusters/echoing",
    "/clusters/gateway",
    "/clusters/gateway-echoing",
    "/clusters/proxy-echoing",
    "/clusters/no-token",
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
    """Give a secret as text, as JSON, a URL and base64 write it, alone and behind a user name."""
    yield secret
    yield json.dumps(secret)[1:-1]
    yield quote(secret, safe="")
    for text in (secret, *(f"{user}:{secret}" for user in ("monitor", "prometheus", "client", "proxied"))):
        yield base64.b64encode(text.encode()).decode().rstrip("=")


def leaks(emitted: str, *more: str) -> list[str]:
    secrets = (
        *(IN_PLACE, IN_FILE, FROM_ENVIRON, TOKEN, PAGE_PASSWORD, STATE_PASSWORD),
        *(CLIENT_SECRET, FETCHED, PROXY_PASSWORD, HEADER),
    )
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
        cluster("gateway", bearer_token=FETCHED),
        cluster(
            "gateway-echoing",
            bearer_token=FETCHED,
            faults=[Fault(FaultKind.ERROR, status=500, code=4, message=f"Bearer {FETCHED}, key {HEADER}")],
        ),
        cluster("proxy-echoing"),
        cluster("no-token"),
    ]


def gateway(directory: Path, *, tokens: TokenEndpoint, proxy: ConnectProxy) -> dict[str, object]:
    """Configure a login with a token, a client certificate with its key in place, a proxy and a header."""
    oauth2 = {"client_id": "client", "client_secret": CLIENT_SECRET, "token_url": tokens.url}
    return {
        "oauth2": {**oauth2, "tls_config": {"ca_file": str(tokens.ca_file)}},
        "proxy_url": f"http://proxied:{quote(PROXY_PASSWORD, safe='')}@127.0.0.1:{proxy.port}",
        "http_headers": {"X-Api-Key": {"secrets": [HEADER]}},
        "tls_config": {
            "cert_file": str(directory / "client-gateway.pem"),
            "key": (directory / "client-gateway-key.pem").read_text(),
        },
    }


def configuration(
    simulator: Simulator, directory: Path, gateways: dict[str, dict[str, object]]
) -> dict[str, object]:
    password_file, token_file = directory / "password", directory / "token"
    write_secret(password_file, IN_FILE + "\n")
    write_secret(token_file, TOKEN + "\n")

    logins: dict[str, dict[str, object]] = {
        **gateways,
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


def echo_secrets(no_tokens: TokenEndpoint, no_proxy: ConnectProxy) -> None:
    """Let an endpoint and a proxy refuse, and repeat what was sent to them."""
    refusal = {"error": "invalid_client", "error_description": f"no such client: {CLIENT_SECRET}"}
    no_tokens.answer = (401, json.dumps(refusal))
    echoed = f"proxied:{PROXY_PASSWORD} {basic('proxied', PROXY_PASSWORD)}"
    no_proxy.refusal = f"HTTP/1.1 403 no: {echoed}\r\nContent-Length: 0\r\n\r\n".encode()


async def everything(daemon: Daemon, login: dict[str, str]) -> str:
    """Return every answer of every page, with and without the right login, as one text."""
    emitted = []
    for path in PAGES:
        for headers in (login, {}, {"Authorization": basic("prometheus", "wrong")}):
            async with daemon.session.get(daemon.url + path, headers=headers) as response:
                emitted.append(f"{response.status} {response.headers} {await response.text()}")
    return "\n".join(emitted)


async def daemon_says_up(daemon: Daemon, cluster: str, login: dict[str, str]) -> bool:
    async with daemon.session.get(f"{daemon.url}/api/v1/clusters/{cluster}", headers=login) as response:
        return bool((await response.json())["up"])


async def test_no_secret_is_in_anything_that_is_emitted(tmp_path: Path) -> None:
    bcrypt_hash = hashed(PAGE_PASSWORD)
    web = tmp_path / "web.yaml"
    write_secret(web, f"basic_auth_users: {{prometheus: '{bcrypt_hash}'}}\n")
    login = {"Authorization": basic("prometheus", PAGE_PASSWORD)}
    for name in ("tokens", "no-tokens"):
        (tmp_path / name).mkdir()
    async with (
        Simulator(clusters(), directory=tmp_path) as simulator,
        token_endpoint(tmp_path / "tokens") as tokens,
        token_endpoint(tmp_path / "no-tokens") as no_tokens,
        connect_proxy() as proxy,
        connect_proxy() as no_proxy,
    ):
        tokens.answer = (200, json.dumps({"access_token": FETCHED, "token_type": "bearer"}))
        echo_secrets(no_tokens, no_proxy)
        key = simulator.issue_client_certificate("gateway").key_file.read_text()
        gateways = {
            "gateway": gateway(tmp_path, tokens=tokens, proxy=proxy),
            "gateway-echoing": gateway(tmp_path, tokens=tokens, proxy=proxy),
            "proxy-echoing": gateway(tmp_path, tokens=tokens, proxy=no_proxy),
            "no-token": gateway(tmp_path, tokens=no_tokens, proxy=proxy),
        }
        file = tmp_path / "config.yaml"
        written = configuration(simulator, tmp_path, gateways)
        good = json.dumps(written, ensure_ascii=False)
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
            for echoed in (
                "HTTP 500: <secret>, key <secret>",
                "no such client: <secret>",
                "HTTP 403 no: proxied:<secret> <secret>",
            ):
                assert html.escape(echoed) in emitted[0]
            assert await daemon_says_up(daemon, "gateway", login)
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
    of_key = key.splitlines()[1:-1]
    assert not leaks("\n".join(emitted), bcrypt_hash, bcrypt_hash[7:], *of_key)


def test_the_search_would_find_one() -> None:
    assert leaks(f"x {IN_PLACE} y") == [IN_PLACE]
    assert leaks(base64.b64encode(f"monitor:{IN_FILE}".encode()).decode())
