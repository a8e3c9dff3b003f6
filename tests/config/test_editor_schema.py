"""The JSON Schema for editors is current, accepts good configurations, and refuses what a schema can see."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from config_schema import PAGE, TARGET, config_schema
from exporter.config import load_config

ROOT = Path(__file__).parents[2]
BAD = Path(__file__).parent / "bad"
SCHEMA: dict[str, Any] = json.loads(TARGET.read_text(encoding="utf-8"))
VALIDATOR = Draft202012Validator(SCHEMA)
EXAMPLE = (ROOT / "config.example.yaml").read_text(encoding="utf-8")
# What a schema can say of the messages in the folder `bad`.
_SAYABLE = re.compile(
    r"unknown key|not allowed here|(?:text|list|mapping|number|false) is expected, not"
    r"|the key has no value|must be at (?:least|most) [0-9]+$|must be longer|must not be empty"
    r"|not a duration|a duration has a unit|a duration is expected|exclude each other"
    r"|at least one (?:policy|cluster|pattern)|an empty list|TLS12 or TLS13"
    r"|a label's name|cannot hold a colon"
    r"|(?:address|name|schedule or every|keep_newest or older_than) is missing",
    re.MULTILINE,
)
_YAML = re.compile(r"^```yaml\n(.*?)^```", re.DOTALL | re.MULTILINE)


def loaded(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return None


def sayable() -> Iterator[str]:
    """Give the names of the bad files with a mistake that a schema can see."""
    for path in sorted(BAD.glob("*.yaml")):
        if _SAYABLE.search(path.with_suffix(".txt").read_text(encoding="utf-8")) and loaded(path.read_text()):
            yield path.stem


def configurations() -> Iterator[tuple[str, Any]]:
    """Give every whole configuration of the repository by the name of its file."""
    yield "config.example.yaml", yaml.safe_load(EXAMPLE)
    above, _, below = EXAMPLE.partition("# cleanup:\n")
    uncommented = "".join(line[2:] for line in below.splitlines(keepends=True))
    yield "config.example.yaml with cleanup", yaml.safe_load(f"{above}cleanup:\n{uncommented}")
    yield "compose", yaml.safe_load((ROOT / "deploy" / "compose" / "config.yaml").read_text(encoding="utf-8"))
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        # There, the page shows a bad one.
        good = page.read_text(encoding="utf-8").partition("\n## Checking a configuration\n")[0]
        for block in _YAML.findall(good):
            content = loaded(block)
            if isinstance(content, dict) and content.keys() & {"clusters", "cluster_files"}:
                yield page.name, content


def mistakes(content: Any) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(content)]


def test_the_schema_is_the_one_that_the_models_and_the_page_make() -> None:
    assert TARGET.read_text(encoding="utf-8") == config_schema(PAGE.read_text(encoding="utf-8"))


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_the_example_names_the_schema_in_its_first_line() -> None:
    first = EXAMPLE.splitlines()[0]
    assert first == f"# yaml-language-server: $schema={TARGET.relative_to(ROOT)}"


def test_every_configuration_of_the_repository_is_accepted() -> None:
    found = list(configurations())
    assert len(found) >= 6
    assert [(name, mistakes(content)) for name, content in found if mistakes(content)] == []


@pytest.mark.parametrize("name", list(sayable()))
def test_a_bad_file_is_refused_if_a_schema_can_see_its_mistake(name: str) -> None:
    assert mistakes(loaded((BAD / f"{name}.yaml").read_text(encoding="utf-8")))


def test_most_bad_files_have_a_mistake_that_a_schema_can_see() -> None:
    assert len(list(sayable())) > len(list(BAD.glob("*.yaml"))) / 2


@pytest.mark.parametrize(
    "setting",
    [
        "poll_interval: 1h30m",
        "poll_interval: ${INTERVAL}",
        "max_records: ${COUNT}",
        'max_records: "5"',
        'allow_http: "true"',
        "allow_http: ${YES}",
        'proxy_url: ""',
        "tls_config: {min_version: TLS13}",
        "labels:",
        "oauth2: {client_id: a, client_secret: b, token_url: 'https://a/b', scopes: [], no_proxy: ''}",
        "http_headers: {X-Team: {values: [a]}}",
    ],
)
def test_what_the_exporter_accepts_is_accepted(tmp_path: Path, setting: str) -> None:
    path = tmp_path / "config.yaml"
    login = "" if setting.startswith("oauth2") else "  authorization: {credentials: made-up}\n"
    path.write_text(f"defaults:\n{login}  {setting}\nclusters: [{{address: a}}]\n")
    load_config(path, environ={"INTERVAL": "5m", "COUNT": "5", "YES": "true"})
    assert mistakes(yaml.safe_load(path.read_text())) == []


@pytest.mark.parametrize(
    "value", ["seen_for: 0s", "seen_for: 0", "retry_busy_for: 0s", "every: 1s", "stop_after_failures: 0"]
)
def test_what_the_exporter_accepts_in_a_policy_is_accepted(tmp_path: Path, value: str) -> None:
    path = tmp_path / "config.yaml"
    when = "" if value.startswith("every") else "schedule: 0 3 * * sat, "
    policy = f"{{name: a, keep_newest: 1, {when}{value}}}"
    path.write_text(f"clusters: [{{address: a}}]\ncleanup: {{policies: [{policy}]}}\n")
    load_config(path, environ={})
    assert mistakes(yaml.safe_load(path.read_text())) == []


def test_every_key_is_described() -> None:
    shapes = {"": SCHEMA, **SCHEMA["$defs"]}
    # A header's own keys have no rows, and those of OAuth 2.0 that are as elsewhere have none of their own.
    undescribed = {
        f"{name}.{key}"
        for name, shape in shapes.items()
        for key, value in shape["properties"].items()
        if "description" not in value and name != "HttpHeader"
    }
    assert undescribed == {
        "OAuth2.no_proxy",
        "OAuth2.proxy_connect_header",
        "OAuth2.proxy_from_environment",
        "OAuth2.proxy_url",
    }
