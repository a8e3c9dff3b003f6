from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import indent

import trustme

from exporter.config import Config, load_config, masked_yaml

Load = Callable[..., Config]

_TEXT = """\
defaults:
  basic_auth: {username: monitor, password: "${PW}"}
  return_timeout: 20
profiles:
  dr-site: {authorization: {credentials: made-up}, labels: {price: "$$5"}}
clusters:
  - {address: 10.20.0.5, profile: dr-site, poll_interval: 10m}
  - {address: "[fd00::1]:8443", name: lab, stale_after: 1h, tls_config: {insecure_skip_verify: true}}
"""

_MASKED = """\
defaults:
  proxy_from_environment: false
  poll_interval: 5m
  poll_timeout: 1m
  return_timeout: 20
  max_records: 500
  basic_auth:
    username: monitor
    password: <secret>
  tls_config:
    insecure_skip_verify: false
    min_version: TLS12
  allow_http: false
profiles:
  dr-site:
    authorization:
      credentials: <secret>
    labels:
      price: $$5
clusters:
- name: 10.20.0.5
  address: https://10.20.0.5:443
  poll_interval: 10m
  stale_after: 30m
  profile: dr-site
- name: lab
  address: https://[fd00::1]:8443
  stale_after: 1h
  tls_config:
    insecure_skip_verify: true
max_concurrent_polls: 64
"""


def test_applied_configuration_is_shown_with_defaults_and_without_secrets(load: Load) -> None:
    assert masked_yaml(load(_TEXT, PW="made-up")) == _MASKED


_CLEANUP = """\
cleanup:
  state: postgresql://exporter:${PW}@db/ontap?sslmode=require&x=1
  policies:
    - name: retire-old
      clusters: {names: ["10.*", "$$lab"], labels: {site: "$$5"}}
      schedule: "0 3 * * sat"
      older_than: 180d
    - {name: tidy, every: 36h, keep_newest: 2, dry_run: false, exclude: ["9.14.1*"], retry_busy_for: 0}
"""

_MASKED_CLEANUP = """\
cleanup:
  state: postgresql://exporter:<secret>@db/ontap?sslmode=require&x=<secret>
  max_concurrent_clusters: 4
  takeover_after: 30s
  policies:
  - name: retire-old
    clusters:
      names:
      - 10.*
      - $$lab
      labels:
        site: $$5
    schedule: 0 3 * * sat
    timezone: UTC
    older_than: 180d
    include:
    - '*'
    exclude: []
    seen_for: 1w
    start_within: 1h
    stop_after_failures: 3
    approval_valid_for: 2w
    max_deletes_per_run: 5
    dry_run: true
    return_timeout: 0
    job_timeout: 30m
    retry_busy_for: 30m
  - name: tidy
    every: 1d12h
    keep_newest: 2
    include:
    - '*'
    exclude:
    - 9.14.1*
    seen_for: 1w
    start_within: 1h
    stop_after_failures: 3
    approval_valid_for: 2w
    max_deletes_per_run: 5
    dry_run: false
    return_timeout: 0
    job_timeout: 30m
    retry_busy_for: 0s
"""


def test_applied_cleanup_is_shown_with_defaults_and_without_secrets(load: Load) -> None:
    assert masked_yaml(load(_TEXT + _CLEANUP, PW="made-up")) == _MASKED + _MASKED_CLEANUP


def test_shown_cleanup_loads_as_it_stands(load: Load) -> None:
    config = load(_TEXT + _CLEANUP, PW="<secret>")
    shown = masked_yaml(config)
    again = load(shown)
    assert again.cleanup is not None
    assert config.cleanup is not None
    assert again.cleanup.policies == config.cleanup.policies
    assert masked_yaml(again) == shown


def test_shown_state_may_be_saved_elsewhere(load: Load, tmp_path: Path) -> None:
    shown = masked_yaml(load(_TEXT + "cleanup: {policies: [{name: a, every: 1h, keep_newest: 1}]}", PW="x"))
    assert f"\n  state: sqlite:///{tmp_path}/state.db\n" in shown


def test_shown_configuration_loads_as_it_stands(load: Load) -> None:
    config = load(_TEXT, PW="<secret>")
    shown = masked_yaml(config)
    again = load(shown)
    assert [cluster.name for cluster in again.clusters] == [cluster.name for cluster in config.clusters]
    assert masked_yaml(again) == shown


def test_a_private_key_in_the_text_of_its_certificate_is_a_secret(load: Load, tmp_path: Path) -> None:
    issued = trustme.CA().issue_cert("exporter")
    pem = issued.private_key_and_cert_chain_pem.bytes().decode()
    text = "clusters:\n- address: a\n  tls_config:\n    cert: |\n" + indent(pem, " " * 6)
    assert "PRIVATE KEY" in text
    shown = masked_yaml(load(text))
    assert "PRIVATE KEY" not in shown
    assert "cert: <secret>" in shown
    path = tmp_path / "config.yaml"
    path.chmod(0o644)
    (warning,) = load_config(path, environ={}).warnings
    assert "clusters[0].tls_config.cert: every user of this machine can read the secret" in str(warning)
