"""Cluster files that come, go, change and break while the program runs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from exporter.config import Config, ConfigError, ConfigFiles, load_config

_PATTERNS = "cluster_files: ['clusters.d/*.yaml']\n"


class _Fleet:
    """A configuration with a folder of cluster files."""

    def __init__(self, root: Path, text: str = _PATTERNS, **files: str) -> None:
        self.root = root
        self.folder = root / "clusters.d"
        self.folder.mkdir()
        self.main = root / "config.yaml"
        self.main.write_text(text)
        for name, content in files.items():
            self.write(name, content)
        self.files = ConfigFiles(self.main, environ={"PW": "made-up"})

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.yaml"

    def write(self, name: str, content: str) -> None:
        """Write a file as careful programs do: whoever reads it sees the old content or the new one."""
        new = self.folder / ".new"
        new.write_text(content)
        new.replace(self.path(name))

    def scan_twice(self) -> list[str] | None:
        """Scan twice, which applies a change; return the names of the clusters, or None without a change."""
        configs = [self.files.scan(), self.files.scan()]
        assert configs[0] is None
        return None if configs[1] is None else [cluster.name for cluster in configs[1].clusters]

    @property
    def problems(self) -> list[str]:
        return [str(problem).replace(f"{self.root}/", "") for problem in self.files.problems]

    @property
    def counts(self) -> tuple[int, int]:
        return self.files.files, self.files.failed_files


def _names(config: Config) -> list[str]:
    return [cluster.name for cluster in config.clusters]


def test_nothing_is_scanned_before_the_first_load(tmp_path: Path) -> None:
    assert _Fleet(tmp_path, a="- address: a\n").files.scan() is None


def test_configuration_without_cluster_files_never_changes(tmp_path: Path) -> None:
    fleet = _Fleet(tmp_path, "clusters: [{address: a}]\n", x="- address: x\n")
    fleet.files.load()
    assert fleet.scan_twice() is None
    assert fleet.counts == (0, 0)


def test_nothing_changes_while_no_file_changes(tmp_path: Path) -> None:
    fleet = _Fleet(tmp_path, a="- address: a\n")
    assert _names(fleet.files.load()) == ["a"]
    assert [fleet.files.scan() for _ in range(5)] == [None] * 5
    assert (fleet.counts, fleet.problems) == ((1, 0), [])


def test_file_that_changes_comes_or_goes_takes_effect_at_the_second_scan(tmp_path: Path) -> None:
    fleet = _Fleet(tmp_path, a="- address: a\n")
    fleet.files.load()
    fleet.write("a", "- address: a\n- address: b\n")
    assert fleet.scan_twice() == ["a", "b"]
    fleet.write("z", "- address: z\n")
    assert fleet.scan_twice() == ["a", "b", "z"]
    fleet.path("a").unlink()
    assert fleet.scan_twice() == ["z"]
    assert fleet.scan_twice() is None
    assert (fleet.counts, fleet.problems) == ((1, 0), [])


def test_file_that_is_being_written_is_not_read(tmp_path: Path) -> None:
    fleet = _Fleet(tmp_path, a="- address: a\n")
    fleet.files.load()
    with fleet.path("a").open("w") as stream:
        for number in range(6):
            stream.write(f"- address: a{number}\n")
            stream.flush()
            assert fleet.files.scan() is None
            assert fleet.problems == []
    assert fleet.files.scan() is not None


def test_same_content_in_a_new_file_is_no_change(tmp_path: Path) -> None:
    fleet = _Fleet(tmp_path, a="- address: a\n")
    fleet.files.load()
    fleet.write("a", "- address: a\n")
    assert fleet.scan_twice() is None


def test_change_that_keeps_size_and_time_of_modification_is_seen(tmp_path: Path) -> None:
    fleet = _Fleet(tmp_path, a="- address: a\n")
    fleet.files.load()
    before = fleet.path("a").stat()
    fleet.path("a").write_text("- address: b\n")
    os.utime(fleet.path("a"), ns=(before.st_atime_ns, before.st_mtime_ns))
    assert fleet.scan_twice() == ["b"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("text", "clusters.d/a.yaml:1: a list is expected, not text; write [] for no clusters"),
        ("- address: [\n", None),
        ("- addres: a\n- address: new\n", None),
        ("- address: new\n  profile: x\n", "clusters.d/a.yaml:2: [0].profile: no profile is named 'x'"),
        (
            "- address: b\n",
            "clusters.d/a.yaml:1: [0].address: the name 'b' is taken: clusters.d/b.yaml:1: [0].address",
        ),
        (
            "- address: m\n",
            "clusters.d/a.yaml:1: [0].address: the name 'm' is taken: config.yaml:2: clusters[0].address",
        ),
        ("- {address: new, basic_auth: {username: u, password_file: gone}}\n", None),
    ],
)
def test_file_that_breaks_stays_applied_as_it_was(tmp_path: Path, content: str, problem: str | None) -> None:
    fleet = _Fleet(tmp_path, _PATTERNS + "clusters: [{address: m}]\n", a="- address: a\n", b="- address: b\n")
    fleet.files.load()
    fleet.write("a", content)
    assert fleet.scan_twice() is None
    assert fleet.counts == (2, 1)
    assert all(one.startswith("clusters.d/a.yaml") for one in fleet.problems)
    assert fleet.problems == [problem] if problem is not None else fleet.problems
    fleet.write("b", "- address: bb\n")
    expected = ["m", "b", "bb"] if content == "- address: b\n" else ["m", "a", "bb"]
    configs = [fleet.files.scan() for _ in range(3)]
    assert _names(next(config for config in reversed(configs) if config is not None)) == expected
    fleet.write("a", "- address: good\n")
    assert fleet.scan_twice() == ["m", "good", "bb"]
    assert (fleet.counts, fleet.problems) == ((2, 0), [])


def test_new_file_that_is_broken_adds_nothing(tmp_path: Path) -> None:
    fleet = _Fleet(tmp_path, a="- address: a\n")
    fleet.files.load()
    fleet.write("b", "- address: a\n")
    assert fleet.scan_twice() is None
    assert fleet.counts == (2, 1)
    fleet.path("b").unlink()
    assert fleet.scan_twice() is None
    assert (fleet.counts, fleet.problems) == ((1, 0), [])


def test_cluster_may_move_from_one_file_to_another_in_either_order(tmp_path: Path) -> None:
    fleet = _Fleet(tmp_path, a="- address: x\n- address: a\n", b="- address: b\n")
    fleet.files.load()
    fleet.write("b", "- address: b\n- address: x\n")
    assert fleet.scan_twice() is None
    fleet.write("a", "- address: a\n")
    assert fleet.scan_twice() == ["a", "b", "x"]
    fleet.write("b", "- address: b\n")
    fleet.write("a", "- address: a\n- address: x\n")
    assert fleet.scan_twice() == ["a", "x", "b"]
    assert fleet.problems == []


def test_file_that_never_comes_to_rest_does_not_keep_the_others_waiting_for_long(tmp_path: Path) -> None:
    fleet = _Fleet(tmp_path, a="- address: a\n", busy="[]\n")
    fleet.files.load()
    fleet.write("a", "- address: b\n")
    seen = []
    for number in range(6):
        fleet.write("busy", f"# {number}\n[]\n")
        seen.append(fleet.files.scan())
    assert [_names(config) for config in seen if config is not None] == [["b"]]


def test_file_that_is_written_anew_all_the_time_takes_effect_once_its_content_stays(tmp_path: Path) -> None:
    fleet = _Fleet(tmp_path, a="- address: a\n")
    fleet.files.load()
    configs = []
    for content in ("- address: x\n", "- address: y\n", "- address: z\n", "- address: z\n", "- address: z\n"):
        fleet.write("a", content)
        configs.append(fleet.files.scan())
    assert [config and _names(config) for config in configs] == [None, None, None, ["z"], None]


def test_file_that_is_no_file_for_one_scan_is_no_problem(tmp_path: Path) -> None:
    fleet = _Fleet(tmp_path, a="- address: a\n")
    fleet.files.load()
    new = fleet.folder / ".fifo"
    os.mkfifo(new)
    new.replace(fleet.path("a"))
    assert fleet.files.scan() is None
    assert fleet.problems == []
    fleet.write("a", "- address: b\n")
    assert fleet.scan_twice() == ["b"]
    assert fleet.problems == []


def test_broken_file_that_changes_stays_a_problem_until_its_new_content_is_read_twice(tmp_path: Path) -> None:
    fleet = _Fleet(tmp_path, a="- address: a\n")
    fleet.files.load()
    fleet.write("a", "[")
    assert fleet.scan_twice() is None
    before = fleet.problems
    assert before
    fleet.write("a", "- address: b\n")
    assert fleet.files.scan() is None
    assert fleet.problems == before
    config = fleet.files.scan()
    assert config is not None
    assert (fleet.problems, _names(config)) == ([], ["b"])


def test_a_file_with_targets_of_another_file_is_applied_and_keeps_them_once_the_other_is_gone(
    tmp_path: Path,
) -> None:
    fleet = _Fleet(tmp_path, a="- targets: [x]\n  labels: {of: a}\n")
    fleet.files.load()
    fleet.write("b", "- targets: [x, y]\n  labels: {of: b}\n")
    assert fleet.scan_twice() == ["x", "y"]
    assert (fleet.counts, fleet.problems) == ((2, 0), [])
    fleet.path("a").unlink()
    config = [fleet.files.scan() for _ in range(2)][-1]
    assert config is not None
    assert [dict(cluster.labels) for cluster in config.clusters] == [{"of": "b"}] * 2


def test_a_file_that_becomes_empty_has_no_clusters(tmp_path: Path) -> None:
    fleet = _Fleet(tmp_path, a="- address: a\n", b="- address: b\n")
    fleet.files.load()
    fleet.write("a", "")
    assert fleet.scan_twice() == ["b"]
    assert (fleet.counts, fleet.problems) == ((2, 0), [])


def test_names_may_be_swapped_between_two_files_at_once(tmp_path: Path) -> None:
    fleet = _Fleet(tmp_path, a="- address: x\n", b="- address: y\n")
    fleet.files.load()
    fleet.write("a", "- address: y\n")
    fleet.write("b", "- address: x\n")
    assert fleet.scan_twice() == ["y", "x"]


def test_name_that_a_refused_file_keeps_is_not_free_for_another(tmp_path: Path) -> None:
    fleet = _Fleet(tmp_path, _PATTERNS + "clusters: [{address: m}]\n", b="- address: x\n")
    fleet.files.load()
    fleet.write("a", "- address: x\n")
    fleet.write("b", "- address: m\n")
    assert fleet.scan_twice() is None
    assert fleet.counts == (2, 2)


def test_two_new_files_with_the_same_name_have_the_first_one_applied(tmp_path: Path) -> None:
    fleet = _Fleet(tmp_path)
    fleet.files.load()
    fleet.write("a", "- address: x\n")
    fleet.write("b", "- address: x\n")
    assert fleet.scan_twice() == ["x"]
    assert fleet.problems == [
        "clusters.d/b.yaml:1: [0].address: the name 'x' is taken: clusters.d/a.yaml:1: [0].address"
    ]
    fleet.path("a").unlink()
    assert fleet.scan_twice() == ["x"]
    assert fleet.problems == []


def test_file_that_does_not_go_with_a_broken_one_takes_effect_all_the_same(tmp_path: Path) -> None:
    fleet = _Fleet(tmp_path)
    fleet.files.load()
    fleet.write("a", "- address: x\n- {address: y, profile: none}\n")
    fleet.write("b", "- address: x\n")
    fleet.write("c", "- address: c\n")
    assert fleet.scan_twice() == ["x", "c"]
    assert fleet.counts == (3, 1)


def test_chain_of_files_that_are_in_each_others_way_has_every_second_one_applied(tmp_path: Path) -> None:
    fleet = _Fleet(tmp_path, _PATTERNS + "clusters: [{address: n0}]\n")
    fleet.files.load()
    for number in range(6):
        fleet.write(f"f{number}", f"- address: n{number}\n- address: n{number + 1}\n")
    assert fleet.scan_twice() == ["n0", "n1", "n2", "n3", "n4", "n5", "n6"]
    assert fleet.counts == (6, 3)


def test_file_that_is_rewritten_as_its_name_becomes_free_takes_effect_as_it_is_now(tmp_path: Path) -> None:
    fleet = _Fleet(tmp_path, a="- address: x\n")
    fleet.files.load()
    fleet.write("b", "- address: x\n")
    assert fleet.scan_twice() is None
    fleet.write("a", "- address: a\n")
    assert fleet.files.scan() is None
    fleet.write("b", "- {address: x, labels: {rack: r1}}\n")
    first, second = fleet.files.scan(), fleet.files.scan()
    assert first is not None
    assert second is not None
    assert [(cluster.name, cluster.labels) for cluster in second.clusters] == [
        ("a", ()),
        ("x", (("rack", "r1"),)),
    ]
    assert (fleet.problems, fleet.counts) == ([], (2, 0))


def test_many_files_that_are_in_each_others_way_do_not_keep_a_good_one_out(tmp_path: Path) -> None:
    fleet = _Fleet(tmp_path, _PATTERNS + "clusters: [{address: m}]\n")
    fleet.files.load()
    for number in range(40):
        fleet.write(f"f{number}", "- address: m\n")
    fleet.write("good", "- address: good\n")
    assert fleet.scan_twice() == ["m", "good"]
    assert fleet.counts == (41, 40)


def test_secret_that_comes_later_takes_its_cluster_along(tmp_path: Path) -> None:
    fleet = _Fleet(tmp_path)
    fleet.files.load()
    fleet.write("a", "- {address: a, basic_auth: {username: u, password_file: secret}}\n")
    assert fleet.scan_twice() is None
    assert fleet.counts == (1, 1)
    (fleet.folder / "secret").write_text("made-up")
    config = fleet.files.scan()
    assert config is not None
    assert (fleet.problems, _names(config)) == ([], ["a"])


def test_secret_that_is_away_for_now_does_not_keep_other_clusters_from_changing(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("made-up")
    login = "defaults: {basic_auth: {username: u, password_file: secret}}\n"
    fleet = _Fleet(tmp_path, login + _PATTERNS, a="- address: a\n")
    fleet.files.load()
    secret.unlink()
    fleet.write("a", "- address: a\n- address: b\n")
    assert fleet.scan_twice() == ["a", "b"]


def test_new_cluster_that_lacks_what_a_profile_leaves_open_is_its_own_mistake(tmp_path: Path) -> None:
    text = "defaults: {basic_auth: {username: u}}\n" + _PATTERNS
    fleet = _Fleet(tmp_path, text, a="- {address: a, basic_auth: {password: '${PW}'}}\n")
    fleet.files.load()
    fleet.write("b", "\n- address: b\n")
    assert fleet.scan_twice() is None
    why = "config.yaml:1: defaults.basic_auth: password or password_file is missing"
    assert fleet.problems == [f"clusters.d/b.yaml: {why}"]


def test_policy_that_no_cluster_is_left_for_is_a_warning(tmp_path: Path) -> None:
    text = _PATTERNS + "cleanup: {policies: [{name: p, clusters: {names: [a]}, every: 1h, keep_newest: 1}]}\n"
    fleet = _Fleet(tmp_path, text, a="- address: a\n")
    assert [one.message for one in fleet.files.load().warnings if "policies" in one.key] == []
    fleet.path("a").unlink()
    fleet.files.scan()
    config = fleet.files.scan()
    assert config is not None
    assert config.cleanup is not None
    assert [one.message for one in config.warnings] == ["matches no file", "matches no cluster"]


def test_configuration_file_itself_stays_as_it_was_loaded(tmp_path: Path) -> None:
    fleet = _Fleet(tmp_path, a="- address: a\n")
    fleet.files.load()
    fleet.main.write_text("broken: [")
    fleet.write("a", "- address: b\n")
    assert fleet.scan_twice() == ["b"]
    fleet.main.unlink()
    fleet.write("a", "- address: c\n")
    assert fleet.scan_twice() == ["c"]


def test_load_that_fails_leaves_the_applied_configuration(tmp_path: Path) -> None:
    fleet = _Fleet(tmp_path, a="- address: a\n", b="- address: b\n")
    fleet.files.load()
    fleet.write("a", "[")
    fleet.main.write_text("clusters: [{address: m}]\n" + _PATTERNS)
    with pytest.raises(ConfigError):
        fleet.files.load()
    fleet.write("b", "- address: bb\n")
    assert fleet.scan_twice() == ["a", "bb"]
    fleet.write("a", "- address: aa\n")
    assert _names(fleet.files.load()) == ["m", "aa", "bb"]
    assert (fleet.counts, fleet.problems) == ((2, 0), [])
    assert fleet.scan_twice() is None


def test_candidate_that_is_not_accepted_changes_nothing(tmp_path: Path) -> None:
    fleet = _Fleet(tmp_path, a="- address: a\n", b="- address: b\n")
    fleet.files.load()
    fleet.write("b", "broken: [")
    assert fleet.scan_twice() is None
    problems, counts = fleet.problems, fleet.counts
    fleet.write("b", "- address: bb\n")
    fleet.main.write_text("clusters: [{address: m}]\ncluster_files: [clusters.d/b.yaml]\n")
    assert _names(fleet.files.read()) == ["m", "bb"]
    assert (fleet.problems, fleet.counts) == (problems, counts)
    assert fleet.scan_twice() == ["a", "bb"]
    assert (fleet.problems, fleet.counts) == ([], (2, 0))
    assert fleet.scan_twice() is None


def test_candidate_read_before_the_first_is_accepted_is_not_watched(tmp_path: Path) -> None:
    fleet = _Fleet(tmp_path, a="- address: a\n")
    fleet.files.read()
    fleet.write("a", "- address: b\n")
    assert fleet.scan_twice() is None
    assert fleet.counts == (0, 0)


def test_file_emptied_while_a_candidate_is_refused_is_still_a_change(tmp_path: Path) -> None:
    fleet = _Fleet(tmp_path, a="- address: a\n", b="- address: b\n")
    fleet.files.load()
    fleet.write("a", "[]\n")
    assert _names(fleet.files.read()) == ["b"]
    assert fleet.scan_twice() == ["b"]


def test_candidate_is_as_it_was_read_and_what_changes_after_that_is_noticed(tmp_path: Path) -> None:
    fleet = _Fleet(tmp_path, a="- address: a\n")
    fleet.files.load()
    fleet.write("a", "- address: b\n")
    candidate = fleet.files.read()
    fleet.write("a", "- address: c\n")
    fleet.files.accept(candidate)
    assert _names(candidate) == ["b"]
    assert fleet.scan_twice() == ["c"]


def test_accepted_candidate_wins_over_scans_since_it_was_read(tmp_path: Path) -> None:
    fleet = _Fleet(tmp_path, a="- address: a\n")
    fleet.files.load()
    fleet.main.write_text("clusters: [{address: m}]\n" + _PATTERNS)
    candidate = fleet.files.read()
    fleet.write("a", "broken: [")
    fleet.write("b", "- address: b\n")
    assert fleet.scan_twice() == ["a", "b"]
    fleet.files.accept(candidate)
    assert (fleet.counts, fleet.problems) == ((1, 0), [])
    fleet.path("b").unlink()
    fleet.write("a", "- address: aa\n")
    assert fleet.scan_twice() == ["m", "aa"]


@pytest.mark.parametrize("how", ["removed", "replaced by a file", "replaced by a loop"])
def test_folder_that_cannot_be_listed_leaves_its_clusters_applied(tmp_path: Path, how: str) -> None:
    patterns = "cluster_files: ['clusters.d/*.yaml', '*.json']\n"
    fleet = _Fleet(tmp_path, patterns, a="- address: a\n", b="- address: b\n")
    other = tmp_path / "other.json"
    other.write_text("[]")
    fleet.files.load()
    away = fleet.folder.rename(tmp_path / "away")
    if how == "replaced by a file":
        fleet.folder.write_text("")
    elif how == "replaced by a loop":
        fleet.folder.symlink_to(fleet.folder)
    assert [fleet.files.scan() for _ in range(5)] == [None] * 5
    assert fleet.counts == (3, 2)
    why = {
        "removed": "No such file or directory",
        "replaced by a file": "Not a directory",
        "replaced by a loop": "Too many levels of symbolic links",
    }[how]
    assert fleet.problems == [f"config.yaml:1: cluster_files[0]: cannot be read: {why}: clusters.d"]
    other.write_text('[{"address": "o"}]')
    assert fleet.scan_twice() == ["a", "b", "o"]
    if how != "removed":
        fleet.folder.unlink()
    away.rename(fleet.folder)
    fleet.path("a").unlink()
    assert fleet.scan_twice() == ["b", "o"]
    assert (fleet.counts, fleet.problems) == ((2, 0), [])


def test_named_file_that_is_missing_leaves_its_clusters_applied(tmp_path: Path) -> None:
    fleet = _Fleet(tmp_path, "cluster_files: [clusters.d/a.yaml]\n", a="- address: a\n")
    fleet.files.load()
    fleet.path("a").unlink()
    assert [fleet.files.scan() for _ in range(5)] == [None] * 5
    why = "cannot be read: No such file or directory"
    assert fleet.problems == [f"config.yaml:1: cluster_files[0]: {why}: clusters.d/a.yaml"]
    assert fleet.counts == (1, 1)
    fleet.write("a", "- address: b\n")
    assert fleet.scan_twice() == ["b"]


def test_folder_below_a_wildcard_takes_its_clusters_with_it(tmp_path: Path) -> None:
    fleet = _Fleet(tmp_path, "cluster_files: ['clusters.d/*/*.yaml']\n")
    for name in ("ams", "lon"):
        (fleet.folder / name).mkdir()
        (fleet.folder / name / "x.yaml").write_text(f"- address: {name}\n")
    assert _names(fleet.files.load()) == ["ams", "lon"]
    shutil.rmtree(fleet.folder / "ams")
    assert fleet.scan_twice() == ["lon"]
    assert fleet.problems == []


def test_mounted_config_map_changes_at_once(tmp_path: Path) -> None:
    fleet = _Fleet(tmp_path)

    def publish(version: str, **files: str) -> None:
        """Change a folder as the kubelet does."""
        folder = fleet.folder / f"..{version}"
        folder.mkdir()
        for name, content in files.items():
            (folder / f"{name}.yaml").write_text(content)
        link = fleet.folder / "..data_tmp"
        link.symlink_to(folder.name)
        link.replace(fleet.folder / "..data")
        for name in files:
            if not fleet.path(name).is_symlink():
                fleet.path(name).symlink_to(f"..data/{name}.yaml")
        for path in fleet.folder.glob("*.yaml"):
            if not path.exists():
                path.unlink()
        for old in fleet.folder.glob("..[0-9]*"):
            if old != folder:
                shutil.rmtree(old)

    publish("1", a="- address: a\n", b="- address: b\n", c="- address: c\n")
    assert _names(fleet.files.load()) == ["a", "b", "c"]
    publish("2", a="- address: a\n", b="- address: bb\n")
    assert fleet.scan_twice() == ["a", "bb"]
    publish("3", a="- address: a\n", b="- address: bb\n")
    assert fleet.scan_twice() is None
    assert (fleet.counts, fleet.problems) == ((2, 0), [])


def test_file_that_cannot_be_read_is_tried_again(tmp_path: Path) -> None:
    fleet = _Fleet(tmp_path, a="- address: a\n")
    fleet.files.load()
    fleet.path("a").unlink()
    target = tmp_path / "target"
    fleet.path("a").symlink_to(target)
    assert fleet.scan_twice() is None
    assert fleet.problems == ["clusters.d/a.yaml: cannot be read: No such file or directory"]
    target.write_text("- address: b\n")
    assert fleet.scan_twice() == ["b"]


@pytest.mark.timeout(30)
def test_pipe_among_the_files_is_not_waited_for(tmp_path: Path) -> None:
    fleet = _Fleet(tmp_path, a="- address: a\n")
    fleet.files.load()
    fleet.path("a").unlink()
    os.mkfifo(fleet.path("a"))
    assert fleet.scan_twice() is None
    assert fleet.problems == ["clusters.d/a.yaml: not a regular file"]


def test_environment_variables_work_in_files_that_come_later(tmp_path: Path) -> None:
    fleet = _Fleet(tmp_path)
    fleet.files.load()
    fleet.write("a", "- {address: a, name: 'n-${PW}$$', poll_interval: '${PW}'}\n")
    assert fleet.scan_twice() is None
    assert "made-up" not in "".join(fleet.problems)
    fleet.write("a", "- {address: a, name: 'n-${PW}$$'}\n")
    assert fleet.scan_twice() == ["n-made-up$"]


class _Model(RuleBasedStateMachine):
    """Whatever happens to the files: what is applied is what strict loading would give, once all is good."""

    folder: Path

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(self.folder) / str(id(self))
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir()
        self.fleet = _Fleet(self.root, _PATTERNS + "clusters: [{address: m}]\n", a="- address: a\n")
        self.names: list[str] = []

    def teardown(self) -> None:
        shutil.rmtree(self.root)

    @initialize()
    def load(self) -> None:
        self.names = _names(self.fleet.files.load())

    @rule(
        name=st.sampled_from("abc"),
        addresses=st.lists(st.sampled_from("mxyz"), max_size=3),
        end=st.sampled_from(["", "", "", "[", "- profile: none\n"]),
    )
    def write(self, name: str, addresses: list[str], end: str) -> None:
        text = "".join(f"- address: {address}\n" for address in addresses)
        self.fleet.write(name, (text or "[]\n") + end)

    @rule(name=st.sampled_from("abc"))
    def remove(self, name: str) -> None:
        self.fleet.path(name).unlink(missing_ok=True)

    @rule()
    def scan(self) -> None:
        config = self.fleet.files.scan()
        if config is not None:
            self.names = _names(config)

    @rule()
    def compare_with_strict_loading(self) -> None:
        for _ in range(3):
            self.scan()
        try:
            strict = load_config(self.fleet.main, environ={})
        except ConfigError:
            assert self.fleet.problems
        else:
            assert self.fleet.problems == []
            assert self.names == _names(strict)

    @invariant()
    def names_are_unique(self) -> None:
        assert len(set(self.names)) == len(self.names)


def test_when_all_files_are_good_the_applied_configuration_equals_a_strict_load(tmp_path: Path) -> None:
    _Model.folder = tmp_path
    run_state_machine_as_test(
        _Model, settings=settings(max_examples=60, stateful_step_count=25, deadline=None)
    )
