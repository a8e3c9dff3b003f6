"""Makes a configuration out of NetApp Harvest's ``harvest.yml``.

Each poller of an ONTAP cluster becomes a cluster. What cannot be taken over is a comment beside it. Source:
https://github.com/NetApp/harvest/blob/main/docs/configure-harvest-basic.md
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from glob import glob
from pathlib import Path
from typing import Any, Final

import yaml

from exporter.config import entry_problems
from exporter.files import read_text

_MAX_BYTES: Final = 16 * 1024 * 1024
_OF_ONTAP: Final = re.compile(r"(?i)(zapi|rest|ems|keyperf|statperf)")
_TRUE: Final = frozenset({"true", "yes", "on"})
_VARIABLE: Final = re.compile(r"\$__env\{([A-Za-z_][A-Za-z0-9_]*)\}")
_MARKED: Final = re.compile("\ue000([^\ue001]*)\ue001")
_TLS_VERSIONS: Final = {"tls12": "TLS12", "tls13": "TLS13"}
_CERTIFICATE: Final = "certificate_auth"


@dataclass(slots=True, kw_only=True)
class _Poller:
    """One poller, and what becomes of it.

    Attributes:
        name: its name.
        folder: relative paths begin here.
        own: its own keys.
        keys: these over those of the defaults.
        entry: the entry under ``clusters``.
        tls: of the entry.
        notes: what could not be taken over.
    """

    name: str
    folder: Path
    own: Mapping[str, Any]
    keys: dict[str, Any]
    entry: dict[str, Any] = field(default_factory=dict)
    tls: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def take_login(self, section: Mapping[str, Any]) -> bool:
        """Take over the login that the poller itself or the defaults name; return whether there is one.

        The order is Harvest's.
        """
        ways = (self._take_certificate, self._take_password, self._take_script, self._take_credentials_file)
        return any(take(section) for take in ways)

    def take_file(self, key: str, file: str) -> None:
        """Name a file under ``tls_config``, if it is there."""
        path = self.folder.absolute() / file
        if path.is_file():
            self.tls[key] = _text(str(path))
        else:
            self.notes.append(f"tls_config.{key} is left out: there is no file {path}")

    def _take_certificate(self, section: Mapping[str, Any]) -> bool:
        if section.get("auth_style") != _CERTIFICATE:
            return False
        if not self.keys.get("ssl_cert"):
            self.notes.append(
                "write tls_config with cert_file and key_file: Harvest finds them by its host's name"
            )
        for key, theirs in (("cert_file", "ssl_cert"), ("key_file", "ssl_key")):
            if file := self.keys.get(theirs):
                self.take_file(key, str(file))
        return True

    def _take_password(self, section: Mapping[str, Any]) -> bool:
        if not section.get("password"):
            return False
        username = _text(self.keys.get("username", ""))
        self.entry["basic_auth"] = {"username": username, "password": _text(section["password"])}
        return True

    def _take_script(self, section: Mapping[str, Any]) -> bool:
        scripts = [key for key in ("credentials_script", "certificate_script") if section.get(key)]
        self.notes += [
            f"{script} is not supported: let it write a file, and name this as password_file or cert_file"
            for script in scripts
        ]
        return bool(scripts)

    def _take_credentials_file(self, section: Mapping[str, Any]) -> bool:
        if not (file := section.get("credentials_file")):
            return False
        try:
            read = _read(self.folder / str(file))
        except (OSError, ValueError) as exc:
            self.notes.append(f"credentials_file cannot be read: {exc}")
            return True
        found = _mapping(read.get("Defaults")) | _mapping(_mapping(read.get("Pollers")).get(self.name))
        self.keys |= {key: value for key, value in found.items() if key not in self.own}
        if found.get("ssl_cert"):
            return self._take_certificate({"auth_style": _CERTIFICATE})
        if not self._take_password(found):
            self.notes.append("credentials_file has no password for it")
        return True


def convert(path: Path) -> str:
    """Return a configuration of the pollers in a file of Harvest, and in those that it names.

    Raises:
        OSError: a file cannot be read.
        ValueError: a file is no configuration of Harvest; names it, and says why.
    """
    whole = _read(path)
    pollers = dict(_mapping(whole.get("Pollers")))
    for pattern in _list(whole.get("poller_files")):
        for more in sorted(glob(str(path.parent / str(pattern)))):  # noqa: PTH207 - the pattern may be absolute
            pollers = _mapping(_read(Path(more)).get("Pollers")) | pollers
    if not pollers:
        raise ValueError(f"{path}: no Pollers in it")
    defaults = _mapping(whole.get("Defaults"))
    lines = [f"# Made of {path.name}. Check it with check-config before it is used.", "clusters:"]
    has_cluster = False
    for name, poller in pollers.items():
        made = _converted(str(name), _mapping(poller), defaults, path.parent)
        text = yaml.safe_dump([made.entry], sort_keys=False, allow_unicode=True, width=1000)
        is_commented = bool(problems := [*_why_left_out(_mapping(poller), defaults), *entry_problems(text)])
        has_cluster = has_cluster or not is_commented
        notes = [*(f"left out: {problem}" for problem in problems), *made.notes]
        lines += [f"  # {_one_line(f'{name}: {note}')}" for note in notes]
        lines += [] if is_commented else [f"  {line}" for line in text.splitlines()]
    if not has_cluster:
        raise ValueError(
            f"{path}: no poller of an ONTAP cluster in it that can be taken over:\n" + "\n".join(lines[2:])
        )
    return "\n".join(lines) + "\n"


def _read(path: Path) -> dict[str, Any]:
    try:
        # Harvest puts variables in before it reads the YAML, so their braces must mean nothing there.
        text = _VARIABLE.sub("\ue000\\1\ue001", read_text(path, max_bytes=_MAX_BYTES))
        # Without types: what is text in Harvest stays as it is written.
        read = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - makes text
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        line = "" if mark is None else f":{mark.line + 1}"
        raise ValueError(f"{path}{line}: not YAML") from None
    except RecursionError:
        raise ValueError(f"{path}: nested too deeply") from None
    except ValueError as exc:
        raise ValueError(f"{path}: {exc}") from None
    if isinstance(read, dict):
        return read
    raise ValueError(f"{path}: no configuration of Harvest")


def _why_left_out(poller: Mapping[str, Any], defaults: Mapping[str, Any]) -> Iterator[str]:
    merged = {**defaults, **poller}
    if str(merged.get("disabled", "")).lower() in _TRUE:
        yield "it is disabled"
    collectors = [
        next(iter(one), "") if isinstance(one, dict) else one for one in _list(merged.get("collectors"))
    ]
    if collectors and not any(_OF_ONTAP.match(str(one)) for one in collectors):
        yield f"its collectors are not of ONTAP: {', '.join(map(str, collectors))}"


def _converted(name: str, poller: Mapping[str, Any], defaults: Mapping[str, Any], folder: Path) -> _Poller:
    keys = {**defaults, **{key: value for key, value in poller.items() if value != ""}}
    one = _Poller(name=name, folder=folder, own=poller, keys=keys)
    one.entry = {"name": _text(name), "address": _text(keys.get("addr", ""))}
    if not one.take_login(poller):
        one.take_login(defaults)
    if str(keys.get("use_insecure_tls", "")).lower() in _TRUE:
        one.tls["insecure_skip_verify"] = True
    if authority := keys.get("ca_cert"):
        one.take_file("ca_file", str(authority))
    if version := keys.get("tls_min_version"):
        if version in _TLS_VERSIONS:
            one.tls["min_version"] = _TLS_VERSIONS[version]
        else:
            one.notes.append(f"tls_min_version {version} is not supported; at least TLS 1.2 is spoken")
    if one.tls:
        one.entry["tls_config"] = one.tls
    labels = {"datacenter": _text(keys["datacenter"])} if keys.get("datacenter") else {}
    for pair in _list(keys.get("labels")):
        labels |= {str(key): _text(value) for key, value in _mapping(pair).items()}
    if labels:
        one.entry["labels"] = labels
    return one


def _text(value: object) -> str:
    """Return text as the configuration writes it; Harvest's ``$__env{NAME}`` becomes ``${NAME}``."""
    parts = _MARKED.split(str(value))
    return "".join(
        f"${{{part}}}" if index % 2 else part.replace("$", "$$") for index, part in enumerate(parts)
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _mapping(value: object) -> dict[str, Any]:
    return dict(value) if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return list(value) if isinstance(value, list) else []
