from __future__ import annotations

from collections.abc import Callable

from exporter.config import Config, masked_yaml

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
  poll_interval: 5m
  poll_timeout: 1m
  return_timeout: 20
  max_records: 500
  tls_config:
    insecure_skip_verify: false
    min_version: TLS12
  allow_http: false
  basic_auth:
    username: monitor
    password: <secret>
profiles:
  dr-site:
    authorization:
      credentials: <secret>
      type: Bearer
    labels:
      price: $$5
clusters:
- name: 10.20.0.5
  address: https://10.20.0.5:443
  profile: dr-site
  poll_interval: 10m
  stale_after: 30m
- name: lab
  address: https://[fd00::1]:8443
  stale_after: 1h
  tls_config:
    insecure_skip_verify: true
max_concurrent_polls: 64
"""


def test_configuration_in_force_is_shown_with_defaults_and_without_secrets(load: Load) -> None:
    assert masked_yaml(load(_TEXT, PW="made-up")) == _MASKED


def test_shown_configuration_loads_as_it_stands(load: Load) -> None:
    config = load(_TEXT, PW="<secret>")
    shown = masked_yaml(config)
    again = load(shown)
    assert [cluster.name for cluster in again.clusters] == [cluster.name for cluster in config.clusters]
    assert masked_yaml(again) == shown
