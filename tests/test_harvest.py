"""The configuration that is made of NetApp Harvest's: it loads, and says what could not be taken over."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import trustme

from exporter.commands.harvest import convert
from exporter.config import Config, load_config
from exporter.ontap.cluster_settings import BasicLogin, Endpoint, Secret, TlsVersion

EXAMPLES = Path(__file__).parent / "harvest"
_HARVEST = """\
Exporters:
  prometheus1: {exporter: Prometheus, port_range: 13000-13100}
Defaults:
  collectors: [Rest, RestPerf, Ems]
  exporters: [prometheus1]
  username: harvest
  password: de$fault
  datacenter: DC-00
Pollers:
"""
_DEFAULT = BasicLogin(username="harvest", password=Secret(value="de$fault"))


def _made(folder: Path, pollers: str, **environ: str) -> tuple[Config, str]:
    (folder / "harvest.yml").write_bytes(b"\xef\xbb\xbf" + (_HARVEST + pollers).encode())
    text = convert(folder / "harvest.yml")
    made = folder / "config.yaml"
    made.write_text(text)
    made.chmod(0o600)
    return load_config(made, environ=environ), text


def test_address_login_and_labels_are_those_of_the_poller_then_of_the_defaults(tmp_path: Path) -> None:
    config, _ = _made(
        tmp_path,
        "  one: {addr: 10.0.0.1, datacenter: DC-01, labels: [{org: meg}, {ns: 7}]}\n"
        "  two: {addr: 'two.example:8443', username: $__env{USER_2}, password: 0123}\n",
        USER_2="monitor",
    )
    one, two = config.clusters
    assert (one.name, one.endpoint, one.login) == ("one", Endpoint(host="10.0.0.1"), _DEFAULT)
    assert dict(one.labels) == {"datacenter": "DC-01", "org": "meg", "ns": "7"}
    assert two.endpoint == Endpoint(host="two.example", port=8443)
    assert two.login == BasicLogin(username="monitor", password=Secret(value="0123"))
    assert dict(two.labels) == {"datacenter": "DC-00"}


def test_tls_is_taken_over_where_the_files_are_there(tmp_path: Path) -> None:
    config, text = _made(
        tmp_path,
        "  one: {addr: a, use_insecure_tls: true, tls_min_version: tls13}\n"
        "  two: {addr: b, auth_style: certificate_auth, ssl_cert: no.pem, ssl_key: no.key}\n"
        "  three: {addr: c, auth_style: certificate_auth}\n"
        "  four: {addr: d, tls_min_version: tls10}\n",
    )
    one, two, three, _ = config.clusters
    assert (one.tls.insecure_skip_verify, one.tls.min_version) == (True, TlsVersion.TLS13)
    assert (two.login, three.login) == (None, None)
    assert (
        f"# harvest.yml:11: two: tls_config.cert_file is left out: there is no file {tmp_path}/no.pem" in text
    )
    assert "# harvest.yml:12: three: write tls_config with cert_file and key_file" in text
    assert "# harvest.yml:13: four: tls_min_version tls10 is not supported" in text


def test_a_file_of_credentials_is_read_and_a_script_is_named_as_not_supported(tmp_path: Path) -> None:
    (tmp_path / "secrets.yml").write_text(
        "Defaults: {password: of-all}\nPollers:\n  one: {username: first, password: 's: 1'}\n"
    )
    config, text = _made(
        tmp_path,
        "  one: {addr: a, credentials_file: secrets.yml}\n"
        "  two: {addr: b, credentials_file: secrets.yml}\n"
        "  three: {addr: c, credentials_script: {path: ./get_pass}}\n"
        "  four: {addr: d, credentials_file: gone.yml}\n",
    )
    assert [cluster.login for cluster in config.clusters] == [
        BasicLogin(username="first", password=Secret(value="s: 1")),
        BasicLogin(username="harvest", password=Secret(value="of-all")),
        None,
        None,
    ]
    assert "# harvest.yml:12: three: credentials_script is not supported: " in text
    assert "# harvest.yml:13: four: credentials_file gone.yml cannot be read: " in text


def test_what_is_no_cluster_of_ontap_is_left_out_and_said(tmp_path: Path) -> None:
    (tmp_path / "more.yml").write_text("Pollers:\n  of-another-file: {addr: e}\n")
    config, text = _made(
        tmp_path,
        "  local: {addr: localhost, collectors: [Unix]}\n  grid: {addr: g, collectors: [StorageGrid]}\n"
        "  off: {addr: o, disabled: true}\n  empty:\n  bad: {addr: a..b, labels: [{cluster: x}]}\n"
        "  good: {addr: g, collectors: [{Zapi: [limited.yaml]}]}\n"
        "Poller_files: ['more*.yml', 'none/*.yml']\n",
    )
    assert [cluster.name for cluster in config.clusters] == ["good", "of-another-file"]
    for note in (
        "harvest.yml:10: local: left out: its collectors are not of ONTAP: Unix",
        "harvest.yml:11: grid: left out: its collectors are not of ONTAP: StorageGrid",
        "harvest.yml:12: off: left out: it is disabled",
        "harvest.yml:13: empty: left out: it has no addr",
        "harvest.yml:14: bad: left out: address: not a host name: 'a..b'",
        "harvest.yml:16: there is no file none/*.yml",
    ):
        assert f"# {note}" in text


def test_the_folder_of_a_file_is_no_pattern(tmp_path: Path) -> None:
    folder = tmp_path / "h[1]"
    folder.mkdir()
    (folder / "more.yml").write_text("Pollers: {ams: {addr: a}}\n")
    (folder / "harvest.yml").write_text("Poller_files: [more.yml]\n")
    assert "name: ams" in convert(folder / "harvest.yml")


@pytest.mark.parametrize("example", sorted(EXAMPLES.iterdir()), ids=lambda example: example.name)
def test_a_realistic_file_becomes_a_configuration_that_is_valid(example: Path, tmp_path: Path) -> None:
    """Each folder of ``harvest`` has a ``harvest.yml``, and ``config.yaml`` is what it becomes."""
    folder = shutil.copytree(example, tmp_path / "example")
    authority = trustme.CA()
    certificate = authority.issue_cert("client.example.com")
    (folder / "cert").mkdir()
    authority.cert_pem.write_to_path(folder / "cert" / "ca.pem")
    certificate.cert_chain_pems[0].write_to_path(folder / "cert" / "client.pem")
    certificate.private_key_pem.write_to_path(folder / "cert" / "client.key")
    expected = (example / "config.yaml").read_text().replace("FOLDER", str(folder))
    assert convert(folder / "harvest.yml") == expected
    (folder / "config.yaml").write_text(expected)
    (folder / "config.yaml").chmod(0o600)
    names = ("ONTAP_USER", "ONTAP_PASSWORD", "SITE", "PREFIX", "SUFFIX", "not")
    config = load_config(folder / "config.yaml", environ=dict.fromkeys(names, "x"))
    assert len(config.clusters) == expected.count("  - name: ")


def test_a_poller_without_a_login_is_named(tmp_path: Path) -> None:
    (tmp_path / "harvest.yml").write_text("Pollers:\n  one:\n    addr: a\n    credential_files: a.yml\n")
    assert "  # harvest.yml:2: one: it has no login: write basic_auth" in convert(tmp_path / "harvest.yml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no configuration of Harvest"),
        ("- a", "no configuration of Harvest"),
        ("a: [", ":1: not YAML"),
        ("Pollers: &all {a: *all}", "nested too deeply"),
        ("Tools: {}", "no Pollers in it"),
        ("Pollers: {a: {addr: a, disabled: true}}", "no poller of an ONTAP cluster"),
    ],
)
def test_a_file_that_is_none_of_harvest_is_an_error(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "harvest.yml").write_text(content)
    with pytest.raises(ValueError, match=message):
        convert(tmp_path / "harvest.yml")
