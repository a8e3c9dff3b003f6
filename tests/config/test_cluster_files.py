"""What cluster files mean once they are loaded, and every mistake that they can hold."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.config import Config, ConfigError, load_config, masked_yaml
from exporter.ontap.cluster_settings import BasicLogin, Endpoint, Secret

Load = Callable[..., Config]

_MAIN = "defaults: {basic_auth: {username: monitor, password: made-up}}\ncluster_files: ['clusters.d/*']\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "clusters.d"
    path.mkdir()
    return path


def _errors(load: Load, text: str = _MAIN, **environ: str) -> list[str]:
    """Return what is wrong, without the folder of the configuration file."""
    with pytest.raises(ConfigError) as caught:
        load(text, **environ)
    (path,) = {
        Path(problem.file).parent
        for problem in caught.value.problems
        if Path(problem.file).name == "config.yaml"
    } or {Path(caught.value.problems[0].file).parents[1]}
    return [line.replace(f"{path}/", "") for line in str(caught.value).splitlines()]


def _names(config: Config) -> list[str]:
    return [cluster.name for cluster in config.clusters]


def test_entries_and_groups_of_all_files_are_clusters_in_the_order_of_the_files(
    load: Load, folder: Path
) -> None:
    (folder / "b.yaml").write_text("- address: b1\n- targets: [b2, 'b3:8443']\n  labels: {site: lon}\n")
    (folder / "a.json").write_text('[{"targets": ["a1"]}, {"address": "a2", "name": "two"}]')
    config = load(_MAIN + "clusters: [{address: main}]\n")
    assert _names(config) == ["main", "a1", "two", "b1", "b2", "b3"]
    assert config.cluster_files == ("clusters.d/*",)
    assert config.warnings == ()
    last = config.clusters[-1]
    assert last.endpoint == Endpoint(host="b3", port=8443)
    assert last.labels == (("site", "lon"),)
    assert last.login == BasicLogin(username="monitor", password=Secret(value="made-up"))


def test_configuration_needs_no_clusters_of_its_own(load: Load, folder: Path) -> None:
    (folder / "a.yaml").write_text("[]")
    for clusters in ("", "clusters:\n", "clusters: []\n"):
        assert load(_MAIN + clusters).clusters == ()


def test_labels_of_a_group_that_begin_with_two_underscores_are_dropped(load: Load, folder: Path) -> None:
    (folder / "a.json").write_text('[{"targets": ["a"], "labels": {"__meta_x": "1", "__": "2", "_y": "3"}}]')
    assert load(_MAIN).clusters[0].labels == (("_y", "3"),)


def test_json_is_read_as_json_is_written(load: Load, folder: Path) -> None:
    (folder / "a.json").write_bytes(
        b'\xef\xbb\xbf[\r\n\t{"targets":["10.0.0.1"],"labels":{"a":"\\ud83d\\ude00\\/\\\\ud83d\\u00e9"}}\r\n]\r\n'
    )
    assert load(_MAIN).clusters[0].labels == (("a", "\U0001f600/\\ud83d\u00e9"),)


def test_environment_variables_stand_in_entries_and_a_group_is_text(load: Load, folder: Path) -> None:
    (folder / "a.yaml").write_text(
        "- {address: '${HOST}', labels: {a: $$5}}\n"
        "- {targets: [x], labels: {a: '${HOST}$$', b: '${', __c: '${NONE}'}}\n"
        "- {address: 'y${HOST}'}\n"
    )
    first, second, third = load(_MAIN, HOST="h").clusters
    assert (first.name, first.labels) == ("h", (("a", "$5"),))
    assert (second.name, second.labels) == ("x", (("a", "${HOST}$$"), ("b", "${")))
    assert third.name == "yh"


@pytest.mark.parametrize(
    "content",
    ["", "# nothing yet\n", "---\n", "null\n", "[]", "- targets:\n", "- labels: {a: b}\n", "- {}\n"],
)
def test_file_without_a_target_has_no_cluster(load: Load, folder: Path, content: str) -> None:
    (folder / "a.yaml").write_text(content)
    config = load(_MAIN)
    assert (config.clusters, config.warnings) == ((), ())


def test_values_of_a_groups_labels_are_the_text_that_is_written(load: Load, folder: Path) -> None:
    (folder / "a.yaml").write_text(
        "- targets: [x]\n  labels: {a: 7, b: 0x1F, c: 1.50, d: yes, e: ~, f: 1e3, g: 007, h: , i: 'true'}\n"
        "- targets: [y]\n  labels:\n    <<: {a: 7}\n    b: off\n"
    )
    first, second = load(_MAIN).clusters
    assert dict(first.labels) == {
        "a": "7",
        "b": "0x1F",
        "c": "1.50",
        "d": "yes",
        "e": "",
        "f": "1e3",
        "g": "007",
        "h": "",
        "i": "true",
    }
    assert dict(second.labels) == {"a": "7", "b": "off"}


def test_further_ports_of_a_host_are_in_the_name(load: Load, folder: Path) -> None:
    (folder / "a.yaml").write_text("- targets: ['h:8443', h, 'i:1', '[fd00::1]:2']\n- targets: ['h:9443']\n")
    (folder / "b.yaml").write_text("- targets: ['i:2', '[fd00::1]:3', 'H:8443']\n")
    config = load(_MAIN)
    names = ["h", "h:443", "i", "fd00::1", "h:9443", "i:2", "[fd00::1]:3"]
    assert _names(config) == names
    assert [cluster.endpoint.port for cluster in config.clusters] == [8443, 443, 1, 2, 9443, 2, 3]
    assert config.warnings == ()
    assert all(f"name: {name}" in masked_yaml(config).replace("'", "") for name in names)


def test_another_port_of_an_entrys_host_is_in_the_name_too(load: Load, folder: Path) -> None:
    (folder / "a.yaml").write_text("- targets: ['h:8443', i]\n")
    assert _names(load(_MAIN + "clusters: [{address: h}]\n")) == ["h", "h:8443", "i"]


def test_a_target_in_several_groups_is_one_cluster_with_the_labels_of_the_first(
    load: Load, folder: Path
) -> None:
    (folder / "a.yaml").write_text(
        "- targets: [h, i, h]\n  labels: {a: '1'}\n- targets: ['h:443']\n  labels: {a: '1'}\n"
        "- targets: [i, j]\n  labels: {a: '2'}\n"
    )
    (folder / "b.yaml").write_text("- targets: [j]\n  labels: {a: '2'}\n- targets: [k]\n")
    config = load(_MAIN + "clusters: [{address: k}]\n")
    assert [(cluster.name, dict(cluster.labels)) for cluster in config.clusters] == [
        *(("k", {}), ("h", {"a": "1"}), ("i", {"a": "1"}), ("j", {"a": "2"})),
    ]
    assert [str(warning).replace(f"{folder}/", "") for warning in config.warnings] == [
        "a.yaml:5: [2].targets[0]: the same target as a.yaml:1: [0].targets[1], whose labels it has"
    ]
    shown = masked_yaml(config)
    assert shown.count("name: h") == shown.count("name: j") == shown.count("name: k") == 1


def test_relative_path_starts_in_the_folder_of_the_file_that_names_it(load: Load, folder: Path) -> None:
    (folder / "secret").write_text("made-up")
    (folder / "secret").chmod(0o600)
    (folder / "a.yaml").write_text("- {address: a, basic_auth: {password_file: secret}}\n")
    login = load(_MAIN.replace("/*'", "/*.yaml'")).clusters[0].login
    assert login == BasicLogin(username="monitor", password=Secret(file=folder / "secret"))


def test_profile_of_the_configuration_holds_for_clusters_of_other_files(load: Load, folder: Path) -> None:
    (folder / "a.yaml").write_text("- {address: a, profile: p}\n")
    config = load(_MAIN + "profiles: {p: {labels: {site: dr}}}\n")
    assert config.clusters[0].labels == (("site", "dr"),)
    assert config.warnings == ()


def test_warning_has_the_file_that_it_is_about(load: Load, folder: Path) -> None:
    (folder / "a.yaml").write_text("- address: a\n  tls_config:\n    insecure_skip_verify: true\n")
    (warning,) = load(_MAIN).warnings
    key = "[0].tls_config.insecure_skip_verify"
    assert str(warning) == f"{folder}/a.yaml:3: {key}: the cluster's certificate is not verified"


def test_policy_sees_the_clusters_of_all_files(load: Load, folder: Path) -> None:
    (folder / "a.yaml").write_text("- address: ams-1\n")
    text = _MAIN + (
        "cleanup: {policies: [{name: p, clusters: {names: ['ams-*']}, every: 24h, keep_newest: 2}]}\n"
    )
    assert load(text).warnings == ()
    (folder / "a.yaml").write_text("[]")
    assert [warning.message for warning in load(text).warnings] == ["matches no cluster"]


def test_file_that_several_patterns_and_links_lead_to_is_read_once(load: Load, folder: Path) -> None:
    (folder / "a.yaml").write_text("- address: a\n")
    (folder / "b.yaml").symlink_to("a.yaml")
    patterns = f"cluster_files: ['clusters.d/*', clusters.d/a.yaml, '{folder}/[ab].yaml']\n"
    assert _names(load(patterns)) == ["a"]


def test_wildcards_match_neither_folders_nor_hidden_names_and_stop_at_a_slash(
    load: Load, folder: Path
) -> None:
    for name in (
        "a.yaml",
        ".a.yaml.swp",
        "..data/b.yaml",
        "c.yaml/d.yaml",
        "sub/e.yaml",
        "a.yaml~",
        "f.YAML",
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(f"- address: {Path(name).name.strip('.~')}\n")
    assert _names(load("cluster_files: ['clusters.d/*.yaml']\n")) == ["a.yaml"]
    assert _names(load("cluster_files: ['clusters.d/*/*.yaml']\n")) == ["d.yaml", "e.yaml"]
    assert _names(load("cluster_files: ['clusters.d/.a*']\n")) == ["a.yaml.swp"]


def test_wildcards_in_the_name_of_the_folder_are_not_meant(tmp_path: Path) -> None:
    folder = tmp_path / "a[b]*"
    (folder / "clusters.d").mkdir(parents=True)
    (folder / "clusters.d" / "a.yaml").write_text("- address: a\n")
    (folder / "config.yaml").write_text("cluster_files: ['clusters.d/*']\n")
    config = load_config(folder / "config.yaml", environ={})
    assert _names(config) == ["a"]
    (tmp_path / "again.yaml").write_text(masked_yaml(config))
    assert _names(load_config(tmp_path / "again.yaml", environ={})) == ["a"]


@pytest.mark.parametrize(
    ("pattern", "warning"),
    [
        ("clusters.d/*.yaml", "matches no file"),
        ("missing.d/*.yaml", "matches no file; there is no folder {}/missing.d"),
        ("clusters.d/*/*.yaml", "matches no file"),
    ],
)
def test_pattern_that_matches_nothing_is_a_warning(
    load: Load, folder: Path, pattern: str, warning: str
) -> None:
    config = load(f"cluster_files: ['{pattern}']\n")
    assert [one.message for one in config.warnings] == [warning.format(folder.parent)]
    assert config.clusters == ()


@pytest.mark.parametrize(
    ("content", "errors"),
    [
        ("{}", ["a.yaml:1: a list is expected, not a mapping; write [] for no clusters"]),
        ("text", ["a.yaml:1: a list is expected, not text; write [] for no clusters"]),
        (
            "clusters:\n- address: a\n",
            ["a.yaml:1: a list is expected, not a mapping; the list begins without clusters: above it"],
        ),
        ("- a\n", ["a.yaml:1: [0]: a mapping is expected, not text"]),
        ("-\n", ["a.yaml:1: [0]: a mapping is expected, not nothing"]),
        ("- name: a\n", ["a.yaml:1: [0]: address is missing"]),
        ("- targets: a\n", ["a.yaml:1: [0].targets: a list is expected, not text"]),
        ("- targets: {a: b}\n", ["a.yaml:1: [0].targets: a list is expected, not a mapping"]),
        (
            "- targets:\n  - 5\n  - \n  - [a]\n  - a\n",
            [
                "a.yaml:2: [0].targets[0]: text is expected, not a number; put quotation marks around it",
                "a.yaml:3: [0].targets[1]: text is expected, not nothing",
                "a.yaml:4: [0].targets[2]: text is expected, not a list",
            ],
        ),
        ("- targets: [a..b]\n", ["a.yaml:1: [0].targets[0]: not a host name: 'a..b'"]),
        (
            "- targets: ['http://a']\n",
            ["a.yaml:1: [0].targets[0]: http:// is only for clusters with allow_http: true"],
        ),
        (
            "- targets: [a]\n  labels: {cluster: b, 5: c, d: 6, __e: 7}\n",
            [
                "a.yaml:2: [0].labels: a key is text; put quotation marks around it",
                "a.yaml:2: [0].labels.cluster: the exporter itself sets this label",
            ],
        ),
        (
            "- targets: [a]\n  profile: p\n  name: b\n  label: {}\n",
            [
                "a.yaml:2: [0].profile: not allowed here; it belongs in an entry of clusters",
                "a.yaml:3: [0].name: not allowed here; it belongs in an entry of clusters",
                "a.yaml:4: [0].label: unknown key; did you mean labels?",
            ],
        ),
        (
            "- {address: a, defaults: {}}\n",
            ["a.yaml:1: [0].defaults: not allowed here; it belongs at the top of the configuration file"],
        ),
        ("- {address: a, profile: p}\n", ["a.yaml:1: [0].profile: no profile is named 'p'"]),
        ("[]\n---\n[]\n", ["a.yaml:2: a second document in one file"]),
        ("- address: a\n  address: b\n", ["a.yaml:2: [0].address: stands here twice; first in line 1"]),
        ("\ufeff- address: ${NONE}\n", ["a.yaml:1: [0].address: the environment variable NONE is not set"]),
    ],
)
def test_mistake_in_a_cluster_file_is_reported_with_its_line(
    load: Load, folder: Path, content: str, errors: list[str]
) -> None:
    (folder / "a.yaml").write_text(content)
    messages = [line.replace(f"{folder}/", "") for line in _errors(load)]
    assert [line.replace("clusters.d/", "") for line in messages] == errors


def test_target_in_the_configuration_file_is_reported_where_it_belongs(load: Load) -> None:
    assert _errors(load, "clusters: [{targets: [a]}]\n") == [
        "config.yaml:1: clusters[0]: address is missing",
        "config.yaml:1: clusters[0].targets: not allowed here; it belongs in a file of cluster_files",
    ]


def test_json_that_is_cut_short_is_reported_with_its_line(load: Load, folder: Path) -> None:
    (folder / "a.json").write_text('[{"targets": ["a"],\n')
    (error,) = _errors(load)
    assert error.startswith("clusters.d/a.json:1: [0]")
    assert "not YAML" in error


def test_name_that_is_taken_names_both_files(load: Load, folder: Path) -> None:
    (folder / "a.yaml").write_text("- address: x\n")
    (folder / "b.yaml").write_text("\n- targets: [x]\n")
    assert _errors(load, _MAIN + "clusters: [{address: y, name: x}]\n") == [
        "clusters.d/a.yaml:1: [0].address: the name 'x' is taken: config.yaml:3: clusters[0].name",
        "clusters.d/b.yaml:2: [0].targets[0]: the name 'x' is taken: config.yaml:3: clusters[0].name",
    ]


def test_mistakes_of_all_files_are_reported_at_once(load: Load, folder: Path) -> None:
    (folder / "a.yaml").write_text("- addres: a\n")
    (folder / "b.yaml").write_text("--- []\n--- []\n")
    (folder / "c.json").write_text("")
    (folder / "d.JSON").write_text("")
    assert _errors(load, "defaultz: {}\n" + _MAIN) == [
        "clusters.d/a.yaml:1: [0]: address is missing",
        "clusters.d/a.yaml:1: [0].addres: unknown key; did you mean address?",
        "clusters.d/b.yaml:2: a second document in one file",
        "clusters.d/c.json: the file is empty; write [] for no clusters",
        "clusters.d/d.JSON: the file is empty; write [] for no clusters",
        "config.yaml:1: defaultz: unknown key; did you mean defaults?",
    ]


def _make_fifo(path: Path) -> None:
    os.mkfifo(path)


def _make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (_make_fifo, "not a regular file"),
        (_make_socket, "not a regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
        (lambda path: path.symlink_to("/dev/null"), "not a regular file"),
        (lambda path: path.symlink_to(path), "cannot be read: Too many levels of symbolic links"),
        (lambda path: path.symlink_to("nowhere"), "cannot be read: No such file or directory"),
        (lambda path: path.write_bytes(b"- address: \xff\n"), "not UTF-8"),
        (lambda path: path.write_bytes("[]".encode("utf-16")), "encoded as UTF-16; save the file as UTF-8"),
        (lambda path: path.write_bytes(b"- address: a\0\n"), "a character that YAML does not allow: U+0000"),
        (lambda path: _make_sparse(path, 64 * 1024 * 1024 + 1), "larger than 64 MiB"),
    ],
)
@pytest.mark.timeout(30)
def test_file_that_is_none_is_an_error_and_is_not_waited_for(
    load: Load, folder: Path, make: Callable[[Path], None], error: str
) -> None:
    make(folder / "a")
    (message,) = _errors(load)
    assert message.removeprefix("clusters.d/a:1: ").removeprefix("clusters.d/a: ") == error


def _make_sparse(path: Path, size: int) -> None:
    with path.open("wb") as stream:
        stream.truncate(size)


@pytest.mark.parametrize(
    ("patterns", "errors"),
    [
        (
            "",
            ["cluster_files: the key has no value; leave it out to use the default"],
        ),
        (
            "[]",
            ["cluster_files: must not be empty; leave the key out instead"],
        ),
        ("a.yaml", ["cluster_files: a list is expected, not text"]),
        ("{a: b}", ["cluster_files: a list is expected, not a mapping"]),
        (
            "[5, ~, [a]]",
            [
                "cluster_files[0]: text is expected, not a number; put quotation marks around it",
                "cluster_files[1]: text is expected, not nothing",
                "cluster_files[2]: text is expected, not a list",
            ],
        ),
        ("['']", ["cluster_files[0]: must not be empty"]),
        (
            "[' a']",
            ["cluster_files[0]: must not begin or end with white space, nor hold a control character"],
        ),
        (
            "['[a']",
            ["cluster_files[0]: a [ without a closing ]: '[a'; write [[] for a literal ["],
        ),
        (
            "['a/**/b']",
            ["cluster_files[0]: ** is not supported; * stands for the name of one folder"],
        ),
        ("['*.yaml']", ["cluster_files[0]: matches the configuration file itself: config.yaml"]),
        (
            "['config.yaml/*']",
            ["cluster_files[0]: cannot be read: Not a directory: config.yaml"],
        ),
        ("['loop/*']", ["cluster_files[0]: cannot be read: Too many levels of symbolic links: loop"]),
    ],
)
def test_mistake_in_the_patterns_is_reported(
    load: Load, tmp_path: Path, patterns: str, errors: list[str]
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    messages = _errors(load, f"clusters: [{{address: a}}]\ncluster_files: {patterns}\n")
    assert messages == [f"config.yaml:2: {error}" for error in errors]


@pytest.mark.parametrize(
    ("pattern", "error"),
    [
        ("missing.yaml", "No such file or directory"),
        ("clusters.d", "Is a directory"),
        ("config.yaml/x", "Not a directory"),
        ("x" * 300, "File name too long"),
    ],
)
def test_pattern_without_a_wildcard_names_a_file_that_must_be_there(
    load: Load, folder: Path, pattern: str, error: str
) -> None:
    folder.touch()
    with pytest.raises(ConfigError) as caught:
        load(f"cluster_files: [{pattern}]\n")
    where = f"{folder.parent}/config.yaml:1: cluster_files[0]"
    assert str(caught.value) == f"{where}: cannot be read: {error}: {folder.parent}/{pattern}"


@pytest.mark.parametrize("name", ["a\n- b", "a\x85b", "a\u2028b", os.fsdecode(b"a\xff")], ids=ascii)
def test_file_name_that_cannot_be_reported_in_one_line_is_an_error(
    load: Load, folder: Path, name: str
) -> None:
    (folder / name).write_text("[]")
    (error,) = _errors(load)
    shown = f"{ascii(str(folder / name))[1:-1]}".replace(f"{folder.parent}/", "")
    assert error == f"config.yaml:2: cluster_files[0]: a file's name is not printable: '{shown}'"


def test_value_of_an_environment_variable_is_quoted_as_it_is_written(load: Load, folder: Path) -> None:
    (folder / "a.yaml").write_text(
        "- {address: 'https://a/${PW}', poll_interval: '${PW}', stale_after: 'x${PW}'}\n"
        "- {address: '${PW}/', profile: '${PW}', basic_auth: {password_file: '${PW}'}}\n"
        "- {targets: ['b:${PW}']}\n- {address: c, name: '${PW}'}\n- {address: d, name: '${PW}'}\n"
    )
    text = (
        _MAIN.replace("]", ", '${PW}', '${PW}/*', '[${PW}']")
        + "cleanup:\n  state: 'sqlite://${PW}/x'\n  policies:\n"
        "  - {name: '${PW}', schedule: '0 0 30 2 ${PW}', keep_newest: '${PW}', timezone: '${PW}'}\n"
        "  - {name: '${PW}', schedule: '0 0 30 feb *', older_than: '${PW}', timezone: '${PW}'}\n"
        "  - {name: x, every: '${PW}', include: ['[${PW}'], dry_run: '${PW}'}\n"
    )
    errors = _errors(load, text, PW="s3cr3t")
    assert "s3cr3t" not in "".join(errors)
    assert (
        "clusters.d/a.yaml:1: [0].poll_interval: not a duration: '${PW}'; write e.g. 30s, 5m, 1h30m" in errors
    )
    assert "clusters.d/a.yaml:2: [1].profile: no profile is named '${PW}'" in errors
    assert "config.yaml:2: cluster_files[1]: cannot be read: No such file or directory: ${PW}" in errors
    assert len(errors) == 21


def test_shown_configuration_has_the_clusters_of_other_files_as_comments_and_no_secret(
    load: Load, folder: Path, tmp_path: Path
) -> None:
    (folder / "a.yaml").write_text(
        "- {address: a, basic_auth: {password: s3cr3t}, labels: {x: y - z}}\n- targets: [b]\n"
    )
    config = load(_MAIN + "clusters: [{address: m}]\n")
    shown = masked_yaml(config)
    assert "s3cr3t" not in shown
    _, _, comments = shown.partition(f"# Clusters of {folder}/a.yaml:\n")
    assert comments == (
        "# - name: a\n#   address: https://a:443\n#   stale_after: 15m\n#   basic_auth:\n"
        "#     password: <secret>\n#   labels:\n#     x: y - z\n"
        "# - name: b\n#   address: https://b:443\n#   stale_after: 15m\n"
    )
    other = tmp_path / "elsewhere"
    other.mkdir()
    (other / "config.yaml").write_text(shown.replace("<secret>", "made-up"))
    assert load_config(other / "config.yaml", environ={}).clusters == config.clusters


def test_warning_of_a_default_stands_at_the_default_for_the_targets_of_a_group_too(
    load: Load, folder: Path
) -> None:
    (folder / "a.yaml").write_text("- targets: [a, b]\n  labels: {site: lon}\n")
    config = load(_MAIN.replace("}}", "}, poll_timeout: 10m, tls_config: {insecure_skip_verify: true}}"))
    assert [(warning.key, warning.line) for warning in config.warnings] == [
        ("defaults.poll_timeout", 1),
        ("defaults.tls_config.insecure_skip_verify", 1),
    ]
