"""A real Prometheus scrapes over TLS, with a client certificate and a password, as its own keys say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from exporter.simulator import SimulatedCluster, Simulator
from exporter.simulator.exporter_configuration import exporter_config, write_secret
from support.daemon_process import program
from support.guarded import TLS, Certificates, hashed, write
from support.prometheus import needs_prometheus, prometheus

pytestmark = needs_prometheus

WEB = f"""{TLS}  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ca.pem
  client_allowed_sans: [prometheus.example]
basic_auth_users:
  prometheus: {hashed("right")}
"""


PAIR = (("cert", "crt"), ("key", "key"))


async def test_prometheus_is_let_in_with_certificate_and_password_and_not_without(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    leaf = certificates.authority.issue_cert("prometheus.example")
    write(tmp_path / "prometheus.crt", leaf.cert_chain_pems[0].bytes())
    write(tmp_path / "prometheus.key", leaf.private_key_pem.bytes())
    web = write(tmp_path / "web.yaml", WEB)
    config = tmp_path / "config.yaml"
    async with Simulator([SimulatedCluster("ams-01")], directory=tmp_path / "simulator") as simulator:
        write_secret(config, exporter_config(simulator))
        flags = (f"--config.file={config}", f"--web.config.file={web}", "--web.listen-address=127.0.0.1:0")
        async with program("run", *flags) as daemon:
            shown = {
                "cert_file": str(tmp_path / "prometheus.crt"),
                "key_file": str(tmp_path / "prometheus.key"),
            }
            trusted = {"ca_file": str(certificates.ca_file)}

            def job(name: str, password: str, tls: dict[str, str]) -> dict[str, Any]:
                return {
                    "job_name": name,
                    "scheme": "https",
                    "tls_config": tls,
                    "basic_auth": {"username": "prometheus", "password": password},
                    "static_configs": [{"targets": [daemon.url.removeprefix("http://")]}],
                    "honor_labels": True,
                }

            jobs = [
                job("right", "right", trusted | shown),
                job("wrong-password", "wrong", trusted | shown),
                job("no-certificate", "right", trusted),
            ]
            async with prometheus(tmp_path, jobs) as server:
                await server.until('up{job="right"} == 1')
                await server.until('ontap_up{cluster="ams-01", job="right"} == 1')
                await server.until('up{job="wrong-password"} == 0')
                await server.until('up{job="no-certificate"} == 0')
                # The password changes while Prometheus keeps its connection.
                write(web, WEB.replace(hashed("right"), hashed("wrong")))
                await server.until('up{job="wrong-password"} == 1')
                await server.until('up{job="right"} == 0')
        assert "Traceback" not in daemon.output
