"""Whatever a file holds, loading it ends soon, with a configuration or with a :class:`ConfigError`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.config import Config, ConfigError
from support.untrusted_input import load, load_beside

_SECRET = "s3cr3t"
_on_disk = settings(deadline=None)
_ENVIRON = {"SITE": "ams", "PW": _SECRET}

_KEYS = [
    *("defaults", "profiles", "clusters", "max_concurrent_polls", "poll_interval", "poll_timeout"),
    *("return_timeout", "max_records", "stale_after", "basic_auth", "username", "password", "password_file"),
    *("authorization", "type", "credentials", "credentials_file", "tls_config", "ca_file", "cert_file"),
    *("key_file", "server_name", "insecure_skip_verify", "min_version", "allow_http", "labels", "name"),
    *("cluster_files", "targets", "__meta_x"),
    *("address", "profile", "p", "x", "<<", "cleanup", "state", "max_concurrent_clusters", "policies"),
    *(
        "clusters",
        "names",
        "schedule",
        "every",
        "timezone",
        "keep_newest",
        "older_than",
        "include",
        "exclude",
    ),
    *("max_deletes_per_run", "dry_run", "job_timeout", "retry_busy_for"),
]
_VALUES = [
    *(
        "5m",
        "0",
        "15",
        "1.5",
        "true",
        "no",
        "~",
        "TLS12",
        "10.0.0.1",
        "https://a",
        "http://b:80",
        "[fd00::1]",
    ),
    *("Bearer", "p", "${SITE}", "${NONE}", "${", "$$", ".", "/dev/null", "2026-01-31", "1:30", ".nan"),
    *("99999999999999999999", "0 3 * * sat", "*/5 2 */31 feb mon#5", "Europe/Amsterdam", "Europe", "9.1*"),
    *("*", "../*/config.yaml", "a**b", "**", "~/x", "clusters.d/*.yaml", "[!a]*"),
    *("sqlite:///state.db", "sqlite:////", f"postgresql://u:{_SECRET}@h/db", "postgresql:///db?host=/", "[a"),
]
_FRAGMENTS = [
    *(f"{key}: " for key in _KEYS),
    *_VALUES,
    *(
        "\n",
        "\n  ",
        "\n    ",
        "- ",
        "? ",
        ": ",
        "{",
        "}",
        "[",
        "]",
        ", ",
        "'",
        '"',
        "|",
        ">",
        "#",
        "%",
        "@",
        "`",
    ),
    *(
        "&a ",
        "*a",
        "<<: *a",
        "!!python/object:os.system ",
        "!!binary ",
        "!x ",
        "! ",
        "---\n",
        "...\n",
        "%YAML 9.9\n",
    ),
    *(
        "\t",
        "\r",
        "\x85",
        "\u2028",
        "\0",
        "\ufeff",
        "\ue000",
        "\\",
        '"\\ud800"',
        '"\\U00110000"',
        "\U0001f600",
    ),
]

_scalars = (
    st.sampled_from(_VALUES)
    | st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.dates()
    | st.binary(max_size=4)
)
_keys = st.sampled_from(_KEYS) | st.text(max_size=4) | st.integers()
_structures = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=5),
    max_leaves=20,
)
_cluster_like = st.dictionaries(_keys, _structures, max_size=6)
_cron_fields = st.sampled_from(["*", "0", "31", "*/7", "1-5", "feb", "sat", "mon#5", "L", "5L", "LW", "x"])
_policy_like = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["a", "b"]) | _scalars,
        "clusters": _structures
        | st.fixed_dictionaries({}, optional={"names": _structures, "labels": _structures}),
        "schedule": st.lists(_cron_fields, min_size=5, max_size=5).map(" ".join) | _scalars,
        "every": st.sampled_from(["1s", "24h"]) | _scalars,
        "timezone": st.sampled_from(["UTC", "Europe/Amsterdam", "Pacific/Apia"]) | _scalars,
        "keep_newest": st.integers(0, 3) | _scalars,
        "older_than": st.sampled_from(["1ms", "292y"]) | _scalars,
        "include": st.lists(_scalars) | _structures,
        "exclude": st.lists(_scalars) | _structures,
        "max_deletes_per_run": _scalars,
        "dry_run": _scalars,
        "return_timeout": _scalars,
        "job_timeout": _scalars,
        "retry_busy_for": _scalars,
        "x": _scalars,
    },
)
_cleanup_like = st.fixed_dictionaries(
    {"policies": st.lists(_policy_like, max_size=3)},
    optional={"state": _scalars, "max_concurrent_clusters": _scalars, "x": _scalars},
)
_group_like = st.fixed_dictionaries(
    {"targets": st.lists(st.sampled_from(["a", "b:1", "[::1]:443", "10.0.0.1"]) | _scalars, max_size=3)},
    optional={"labels": st.dictionaries(_keys, _scalars, max_size=3) | _structures, "x": _scalars},
)
_list_like = st.lists(
    _group_like | st.builds(lambda cluster: {"address": "a"} | cluster, _cluster_like) | _structures,
    max_size=3,
)
_file_like = st.fixed_dictionaries(
    {"clusters": st.lists(st.builds(lambda cluster: {"address": "a"} | cluster, _cluster_like), max_size=3)},
    optional={
        "defaults": _cluster_like,
        "profiles": st.dictionaries(st.sampled_from(["p", "x"]), _cluster_like),
        "cluster_files": st.lists(_scalars, max_size=3) | _structures,
        "max_concurrent_polls": _scalars,
        "cleanup": _cleanup_like | _structures,
    },
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile") / "config.yaml"


def _outcome(path: Path, content: bytes) -> Config | ConfigError:
    return load(path, content, environ=_ENVIRON)


def _outcome_beside(path: Path, content: bytes) -> Config | ConfigError:
    return load_beside(path, content, environ=_ENVIRON)


@_on_disk
@given(content=st.binary())
def test_any_bytes_load_or_are_a_config_error(path: Path, content: bytes) -> None:
    _outcome(path, content)
    _outcome_beside(path, content)


@_on_disk
@given(text=st.text())
def test_any_text_loads_or_is_a_config_error(path: Path, text: str) -> None:
    _outcome(path, text.encode("utf-8", errors="surrogatepass"))
    _outcome_beside(path, text.encode("utf-8", errors="surrogatepass"))


@_on_disk
@given(fragments=st.lists(st.sampled_from(_FRAGMENTS), max_size=30))
def test_any_sequence_of_yaml_tokens_loads_or_is_a_config_error(path: Path, fragments: list[str]) -> None:
    _outcome(path, "".join(fragments).encode())
    _outcome_beside(path, "".join(fragments).encode())


@_on_disk
@given(structure=_list_like)
def test_any_list_in_a_cluster_file_loads_or_is_a_config_error(path: Path, structure: Any) -> None:
    _outcome_beside(path, yaml.safe_dump(structure, allow_unicode=True).encode())
    _outcome_beside(path, json.dumps(structure, default=str).encode())


@_on_disk
@given(structure=_structures | _file_like)
def test_any_structure_loads_or_is_a_config_error(path: Path, structure: Any) -> None:
    _outcome(path, yaml.safe_dump(structure, allow_unicode=True).encode())


@settings(deadline=None, max_examples=200)
@given(cleanup=_cleanup_like | _structures)
def test_any_cleanup_loads_or_is_a_config_error(path: Path, cleanup: Any) -> None:
    structure = {"clusters": [{"address": "a"}], "cleanup": cleanup}
    outcome = _outcome(path, yaml.safe_dump(structure, allow_unicode=True).encode())
    if isinstance(outcome, Config):
        assert outcome.cleanup is not None
        assert outcome.cleanup.policies


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000,
        "{a: " * 200_000,
        "- " * 200_000,
        "? " * 200_000,
        "a:\n" + "".join(" " * depth + "a:\n" for depth in range(1, 2000)),
        "a: &a [x]\n" + "b: &a [*a, *a]\n" * 100,
        "clusters: &a [" + "*a, " * 25_000 + "]",
        "&a {x: &b [" + "1, " * 1000 + "], y: [" + "*b, " * 100_000 + "]}",
        "x0: &x0 [1]\n" + "".join(f"x{n}: &x{n} [*x{n - 1}]\n" for n in range(1, 2000)),
        "x0: &x0 {a: 1}\n" + "".join(f"x{n}: &x{n} {{<<: *x{n - 1}}}\n" for n in range(1, 2000)),
        "m: &m {" + ", ".join(f"k{n}: v" for n in range(1000)) + "}\nn: {<<: [" + "*m, " * 100_000 + "]}",
        "clusters: [" + "{k: v}, " * 10_000 + "]",
        "".join(f"k{n}: v\n" for n in range(20_000)),
        "profiles:\n"
        + "".join(f"  profile-{n}: {{}}\n" for n in range(1000))
        + "clusters:\n"
        + "".join(f"  - {{address: a{n}, profile: prfile-{n}}}\n" for n in range(5000)),
        "k" * 1_000_000 + ": v",
        "clusters:\n  - address: " + "a." * 500_000 + "\n    poll_interval: " + "1m" * 500_000,
        "clusters:\n  - address: " + "1" * 1_000_000 + "\n    profile: " + "p" * 1_000_000,
        "clusters:\n  - address: '" + "${" * 500_000 + "'",
        "%YAML 99999999999999999999.1\n---\na: b",
        "a: !<%ff%fe> b",
    ],
    ids=lambda text: repr(text[:20]),
)
@pytest.mark.timeout(60)
def test_large_and_twisted_files_end_in_an_error(path: Path, text: str) -> None:
    assert isinstance(_outcome(path, text.encode()), ConfigError)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000,
        '[{"targets": ["a", ' + '"b", ' * 200_000,
        "[" + "{address: a}, " * 5_000 + "]",
        "- targets: &t [" + ", ".join(f"a{n}" for n in range(1000)) + "]\n" + "- targets: *t\n" * 990,
        "- {address: a, labels: {" + ", ".join(f"l{n}: x" for n in range(50_000)) + "}}\n- &x [*x]",
        '["' + "\\" * 2_000_000 + '\\ud83d"]',
        '["' + "\\ud83d" * 500_000 + '"]',
        "- address: '" + "x" * 10_000_000 + "'",
        " " * 10_000_000 + "x",
        "#" * 10_000_000,
        "\n" * 10_000_000,
    ],
    ids=lambda text: repr(text[:20]),
)
@pytest.mark.timeout(60)
def test_large_and_twisted_cluster_files_end_in_an_error(path: Path, text: str) -> None:
    assert isinstance(_outcome_beside(path, text.encode()), ConfigError)


@pytest.mark.parametrize(
    "login", ["basic_auth: {{username: u, {}}}", "basic_auth:\n      username: u\n      {}\n"]
)
@pytest.mark.parametrize(
    "written",
    [
        *(f"password: {before}{_SECRET}" for before in "*&!%@`|>[{\"'#?-:,$"),
        *(
            f"password: x{middle}{_SECRET}"
            for middle in ("]", "}", ", ", ",", ": ", " #", "\t", "\n", '"', "'")
        ),
        *(
            f"password: {_SECRET}{after}"
            for after in ("]", "}", ",", ": ", ": x", "\0", "\a", "\\", " *x", " &x")
        ),
        *(f"password{between}{_SECRET}" for between in (":", "=", " ", ";", "\n", "\t", ": !!x ", ": !a!b ")),
        *(f"password: {before}{_SECRET}{after}" for before, after in (("[", "]"), ("{", "}"), ("{", ": x}"))),
        f"password: {_SECRET}\n      password: {_SECRET}\n      {_SECRET}: x\n      {_SECRET}: x",
        f"password: a,{_SECRET},{_SECRET}",
        f'password: "\\x00{_SECRET}"',
        f'password: "\\q{_SECRET}"',
        "password: ${PW}\n      password_file: x",
        '"password": "${PW}\\n"',
        f"username: 'u:{_SECRET}'",
        f"{_SECRET}: x",
        f"password: {{a: [{_SECRET}]}}",
    ],
)
def test_mistake_beside_a_secret_does_not_show_it(path: Path, login: str, written: str) -> None:
    text = "clusters:\n  - address: a\n    " + login.format(written)
    assert _SECRET not in str(_outcome(path, text.encode()))
    assert _SECRET not in repr(_outcome(path, text.encode()))
    beside = "- address: a\n  " + login.replace("\n      ", "\n    ").format(written)
    assert _SECRET not in str(_outcome_beside(path, beside.encode()))
    assert _SECRET not in repr(_outcome_beside(path, beside.encode()))


@pytest.mark.parametrize("style", ["cleanup: {{{}, policies: []}}", "cleanup:\n  policies: []\n  {}\n"])
@pytest.mark.parametrize(
    "written",
    [
        *(f"state: postgresql://u:x{middle}{_SECRET}@h/db" for middle in "*&!%@`|>[{\"'#?/:,$]} \t\n"),
        *(f"state: postgresql://u:{_SECRET}{after}@h/db" for after in "*&!%@`|>[{\"'#?/:,$]} \t\n\0\a"),
        *(
            f"state{between}postgresql://u:{_SECRET}@h/db"
            for between in (":", "=", " ", "\n", ": !!x ", ": *")
        ),
        *(f"state: {before}://u:{_SECRET}@h/db" for before in ("x", "sqlite", "postgres", "POSTGRESQL")),
        f"state: postgresql://u:x,{_SECRET},y@h/db",
        f"state: postgresql://u:{_SECRET}@h/db\n  state: postgresql://u:{_SECRET}@h/db",
        f"state: {{postgresql://u:{_SECRET}@h/db: }}",
        f"state: [postgresql://u:{_SECRET}@h/db]",
        f"State: postgresql://u:{_SECRET}@h/db",
        "state: postgresql://u:${PW}\n@h/db",
        "state: postgresql://${PW}/db",
        "state: ${PW}",
    ],
)
def test_mistake_in_a_state_does_not_show_its_password(path: Path, style: str, written: str) -> None:
    text = "clusters: [{address: a}]\n" + style.format(written)
    outcome = _outcome(path, text.encode())
    assert isinstance(outcome, ConfigError)
    assert _SECRET not in str(outcome)
    assert _SECRET not in repr(outcome)


@_on_disk
@given(
    structure=st.dictionaries(
        st.sampled_from(["username", "password", "type", "credentials", "x"]),
        st.recursive(
            st.sampled_from([_SECRET, f"{_SECRET}\n", f":{_SECRET}"]) | st.integers() | st.none(),
            lambda inner: st.lists(inner) | st.dictionaries(st.just(_SECRET), inner),
        ),
    ),
    kind=st.sampled_from(["basic_auth", "authorization"]),
    place=st.sampled_from(["defaults", "clusters"]),
)
def test_secret_of_any_wrong_shape_is_not_reported(
    path: Path, structure: dict[str, Any], kind: str, place: str
) -> None:
    layers: dict[str, dict[str, Any]] = {"defaults": {}, "clusters": {"address": "a"}}
    layers[place][kind] = structure
    file = {"defaults": layers["defaults"], "clusters": [layers["clusters"]]}
    outcome = _outcome(path, yaml.safe_dump(file).encode())
    if isinstance(outcome, ConfigError):
        assert _SECRET not in str(outcome)
        assert _SECRET not in repr(outcome)
