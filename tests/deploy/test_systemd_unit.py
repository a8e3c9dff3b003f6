"""The service of systemd starts with the documented configuration, as a user that owns nothing."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import site
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from exporter.simulator import SimulatedCluster, Simulator
from support.daemon_process import program

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy" / "systemd" / "ontap-packages-exporter.service"
PROGRAM = "/opt/ontap-packages-exporter/bin/ontap-packages-exporter"
CONFIGURATION = "/etc/ontap-packages-exporter"
NOBODY = 65534
SYSTEM_PYTHON = "/usr/bin/python3"
AS_NOBODY = (
    *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"),
    # The interpreter of the tests may be in a folder that nobody else may enter: take the system's own.
    *("sh", "-c", f'shift; umask 077; cd /; exec {SYSTEM_PYTHON} "$@"', "sh"),
)


def settings(unit: Path = UNIT) -> dict[str, list[str]]:
    """Return the values of each key of a unit."""
    found: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


def documented_configuration() -> str:
    """Return the configuration of the documentation's section about systemd."""
    section = (ROOT / "docs" / "operation.md").read_text().split("\n## systemd\n")[1]
    (text,) = re.findall(r"```yaml\n(.*?)```", section.split("\n## ")[0], re.DOTALL)
    return str(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """What systemd makes for the service."""

    configuration: Path
    environ: dict[str, str]
    wrapper: tuple[str, ...]

    @property
    def state(self) -> Path:
        return Path(self.environ["STATE_DIRECTORY"])

    def arguments(self, key: str) -> list[str]:
        """Return the arguments of a command of the unit."""
        (command,) = settings()[key]
        path, *arguments = command.split()
        assert path == PROGRAM
        return [argument.replace(CONFIGURATION, str(self.configuration)) for argument in arguments]


def wrapper(environ: dict[str, str]) -> tuple[str, ...]:
    """Return what runs the program as another user, where that can be done; else as this one."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        return ()
    tried = subprocess.run(
        [*AS_NOBODY, sys.executable, "-m", "exporter", "--version"],
        check=False,
        env=environ,
        capture_output=True,
    )
    return () if tried.returncode else AS_NOBODY


@pytest.fixture
def folders() -> Iterator[Folders]:
    """Make the folders of configuration, state and credentials, with systemd's owners and modes."""
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        base.chmod(0o755)
        environ = {
            "PYTHONPATH": os.pathsep.join([str(ROOT), *site.getsitepackages()]),
            "STATE_DIRECTORY": str(base / "state"),
            "CREDENTIALS_DIRECTORY": str(base / "credentials"),
        }
        made = Folders(
            configuration=base / "configuration", environ=environ, wrapper=wrapper({**os.environ, **environ})
        )
        made.configuration.mkdir(mode=0o755)
        for name in ("state", "credentials"):
            (base / name).mkdir(mode=0o700)
        yield made


def load_credentials(folders: Folders) -> None:
    """Copy what the unit names, as systemd does before it starts the service."""
    credentials = Path(folders.environ["CREDENTIALS_DIRECTORY"])
    for value in settings()["LoadCredential"]:
        name, _, path = value.partition(":")
        copied = credentials / name
        copied.write_bytes(Path(path.replace(CONFIGURATION, str(folders.configuration))).read_bytes())
        copied.chmod(0o400)
    if folders.wrapper:
        for owned in (folders.state, credentials, *credentials.iterdir()):
            os.chown(owned, NOBODY, NOBODY)


def check_configuration(folders: Folders) -> subprocess.CompletedProcess[str]:
    """Run what the service runs before it starts."""
    return subprocess.run(
        [*folders.wrapper, sys.executable, "-m", "exporter", *folders.arguments("ExecStartPre")],
        check=False,
        env={**os.environ, **folders.environ},
        capture_output=True,
        text=True,
    )


async def test_the_service_starts_with_the_documented_configuration_and_keeps_a_journal(
    folders: Folders, tmp_path: Path
) -> None:
    simulated = SimulatedCluster(
        "ams-prod-01", username="exporter", password="of the cluster", packages=("9.9.1",)
    )
    async with Simulator([simulated], directory=tmp_path) as simulator:
        text = documented_configuration().replace("10.20.0.5", simulated.address)
        for name, content, mode in (
            ("config.yaml", text.encode(), 0o644),
            ("ca.pem", simulator.ca_file.read_bytes(), 0o644),
            ("password", b"of the cluster\n", 0o600),
        ):
            (folders.configuration / name).write_bytes(content)
            (folders.configuration / name).chmod(mode)
        load_credentials(folders)
        checked = await asyncio.to_thread(check_configuration, folders)
        assert (checked.returncode, checked.stderr) == (0, "")
        valid = f"{folders.configuration}/config.yaml: valid, 1 cluster, 1 cleanup policy\n"
        assert checked.stdout == f"{valid}deleting: none; dry run: retire-old\n"
        listen = "--web.listen-address=127.0.0.1:0"
        async with program(
            *folders.arguments("ExecStart"), listen, environ=folders.environ, wrapper=folders.wrapper
        ) as daemon:
            await daemon.until_ready()
            await daemon.until_line("the journal is open")
            assert await daemon.by_cluster("ontap_up") == {"ams-prod-01": 1}
            assert await daemon.value("ontap_cleanup_journal_open") == 1
            assert await daemon.stop() == 0
    assert (folders.state / "state.db").stat().st_mode & 0o077 == 0


def test_the_documentation_names_what_the_unit_gives() -> None:
    unit = settings()
    text = documented_configuration()
    configuration = yaml.safe_load(text)
    assert unit["DynamicUser"] == ["yes"]
    assert unit["StateDirectory"] == unit["ConfigurationDirectory"] == ["ontap-packages-exporter"]
    names = [value.partition(":")[0] for value in unit["LoadCredential"]]
    named = configuration["defaults"]["basic_auth"]["password_file"]
    assert named in [f"${{CREDENTIALS_DIRECTORY}}/{name}" for name in names]
    assert configuration["cleanup"]["state"].startswith("sqlite:///${STATE_DIRECTORY}/")


if shutil.which("systemd-analyze") is not None:  # a container seldom has it

    def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
        for unit in UNIT.parent.iterdir():
            (tmp_path / unit.name).write_text(unit.read_text().replace(PROGRAM, "/bin/true"))
        verified = subprocess.run(
            ["systemd-analyze", "verify", *map(str, tmp_path.iterdir())],
            check=False,
            capture_output=True,
            text=True,
        )
        assert (verified.returncode, verified.stderr) == (0, "")
        exposed = subprocess.run(
            ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(tmp_path / UNIT.name)],
            check=False,
            capture_output=True,
        )
        assert exposed.returncode == 0
