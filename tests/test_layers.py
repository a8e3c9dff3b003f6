"""Imports point one way, and loading a part loads no more than that part needs."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import exporter

ROOT = Path(exporter.__file__).parent
ALLOWED = {
    "__init__": set(),
    "__main__": {"cli", "held_signals"},
    "held_signals": set(),
    "logs": {"__init__", "terminal"},
    "terminal": {"__init__", "config"},
    "files": set(),
    "pem": {"files"},
    "background": set(),
    "concurrency": set(),
    "ontap": {"__init__", "background", "files", "pem"},
    "config": {"files", "ontap", "pem"},
    "polling": {"background", "concurrency", "ontap"},
    "cleanup": {"background", "concurrency", "config", "files", "ontap"},
    "metrics": {"__init__", "cleanup", "polling"},
    "web": {"background", "cleanup", "config", "files", "metrics", "ontap", "pem", "polling"},
    "simulator": set(),
    "planning": {"cleanup", "config", "ontap", "terminal"},
    "app": {
        "__init__",
        "background",
        "cleanup",
        "concurrency",
        "config",
        "metrics",
        "ontap",
        "polling",
        "web",
    },
    "cli": {"__init__", "commands", "held_signals", "terminal"},
    "commands": {
        "__init__",
        "app",
        "config",
        "files",
        "held_signals",
        "logs",
        "ontap",
        "pem",
        "planning",
        "simulator",
        "terminal",
        "web",
    },
}
"""The rooms that each room may import, itself aside."""

PURE = (
    "cleanup/delete/limits",
    "cleanup/decide/plan",
    "cleanup/decide/policy",
    "cleanup/delete/lifecycle",
    "cleanup/delete/steps",
    "cleanup/outcomes",
    "cleanup/records",
    "cleanup/delete/replies",
    "ontap/errors",
    "ontap/redaction",
    "ontap/requests/deletion",
    "ontap/requests/facts",
    "ontap/requests/inventory",
    "ontap/requests/jobs",
    "ontap/requests/listing",
    "ontap/requests/paging",
    "ontap/refusals",
    "ontap/requests/versions",
    "ontap/requests/messages",
    "polling/due_times",
)
"""Modules that decide: they import only the standard library and each other; no I/O, clock or await."""
SETTINGS = "ontap/cluster_settings"
"""They take a cluster's settings as values, too, which can read the file of a secret; they do not."""


def imported(path: Path) -> Iterator[str]:
    """Yield the modules that a file imports, in functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "exporter":
                yield from (f"exporter.{alias.name}" for alias in node.names)
            else:
                yield node.module


def room_of(module: str) -> str:
    room = module.split(".")[1]
    return room if (ROOT / room).is_dir() or (ROOT / f"{room}.py").is_file() else "__init__"


FILES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_room_imports_only_the_rooms_before_it(path: Path) -> None:
    room = path.parts[0].removesuffix(".py")
    rooms = {room_of(module) for module in imported(ROOT / path) if module.startswith("exporter.")}
    assert rooms <= ALLOWED[room] | {room}


@pytest.mark.parametrize("name", PURE)
def test_pure_modules_import_only_pure_modules(name: str) -> None:
    source = (ROOT / f"{name}.py").read_text()
    tree = ast.parse(source)
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Await | ast.AsyncFunctionDef)]
    modules = set(imported(ROOT / f"{name}.py"))
    own = {module.removeprefix("exporter.") for module in modules if module.startswith("exporter.")}
    assert {module.replace(".", "/") for module in own} <= {*PURE, SETTINGS}
    foreign = {module.split(".")[0] for module in modules if not module.startswith("exporter.")}
    assert foreign <= set(sys.stdlib_module_names) - {"asyncio", "socket", "logging", "time", "random", "os"}


@pytest.mark.parametrize(
    ("module", "kept_out"),
    [
        ("exporter.__main__", {"argparse", "asyncio", "structlog", "typing_extensions"}),
        ("exporter", {"aiohttp", "pydantic", "yaml", "structlog", "jinja2", "prometheus_client", "rich"}),
        ("exporter.cli", {"aiohttp", "pydantic", "jinja2", "prometheus_client", "trustme"}),
        ("exporter.config", {"aiohttp", "jinja2", "prometheus_client", "trustme"}),
        ("exporter.app.daemon", {"jinja2", "trustme", "cryptography", "exporter.simulator", "sqlalchemy"}),
        ("exporter.terminal", {"rich"}),
    ],
)
def test_loading_a_part_does_not_load_the_libraries_that_it_does_not_need(
    module: str, kept_out: set[str]
) -> None:
    code = f"import sys, {module}; print('\\n'.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not kept_out & set(loaded.stdout.splitlines())
