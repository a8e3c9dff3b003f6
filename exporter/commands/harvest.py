"""Makes a configuration out of NetApp Harvest's ``harvest.yml``.

Each poller of an ONTAP cluster becomes a cluster. What cannot be taken over is a comment above it, with the
line where it stands. Source: https://github.com/NetApp/harvest/blob/main/docs/configure-harvest-basic.md, and
``pkg/conf`` and ``pkg/auth`` there for the order in which a login is looked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from glob import glob
from pathlib import Path
from typing import Any, Final

import yaml

from exporter.config import entry_problems
from exporter.files import read_text

_MAX_BYTES: Final = 16 * 1024 * 1024
_OF_ONTAP: Final = re.compile(r"(?i)(zapi|rest|ems|cmperf|keyperf|statperf)")
_TRUE: Final = frozenset({"true", "yes", "on"})
_NULL: Final = frozenset({"~", "null", "Null", "NULL"})
_VARIABLE: Final = re.compile(r"\$(?:__env)?\{([A-Za-z_][A-Za-z0-9_]*)\}")
_MARKED: Final = re.compile("\ue000([^\ue001]*)\ue001")
_TLS_VERSIONS: Final = {"tls12": "TLS12", "tls13": "TLS13"}
_CERTIFICATE: Final = "certificate_auth"


class _Section(dict[str, Any]):
    """A mapping of a file, whose values are text, lists and mappings, with the line of each key."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.file = file
        self.lines: dict[str, int] = {}

    def location(self, key: str) -> str:
        """Return ``FILE:LINE`` of a key."""
        return f"{self.file.name}:{self.lines[key]}"


@dataclass(slots=True, kw_only=True)
class _Poller:
    """One poller, and what becomes of it."""

    name: str
    location: str
    """Where its name stands."""
    folder: Path
    """Relative paths begin here."""
    sections: list[_Section]
    """Its own keys, then those of the defaults; a file of credentials comes between them."""
    entry: dict[str, Any] = field(default_factory=dict)
    """The entry under ``clusters``."""
    tls: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    """What could not be taken over."""

    def value(self, key: str) -> Any:  # noqa: ANN401 - text, a list or a mapping
        """Return the value of a key in the first section that has one, or else empty text."""
        return next((section[key] for section in self.sections if section.get(key)), "")

    def note(self, text: str, key: str = "", section: _Section | None = None) -> None:
        """Say what could not be taken over, and where its key stands."""
        found = next((one for one in [section, *self.sections] if one is not None and one.get(key)), None)
        location = self.location if found is None else found.location(key)
        self.notes.append(_one_line(f"{location}: {self.name}: {text}"))

    def take_login(self) -> None:
        """Take over the login of the poller itself or, if it has none, that of the defaults.

        The order is Harvest's.
        """
        ways = (self._take_certificate, self._take_password, self._take_script, self._take_credentials_file)
        if not any(take(section) for section in list(self.sections) for take in ways):
            self.note("it has no login: write basic_auth, or tls_config with cert_file and key_file")

    def take_file(self, key: str, theirs: str) -> None:
        """Name the file of one of Harvest's keys under ``tls_config``, if it is there."""
        path = self.folder.absolute() / str(self.value(theirs))
        if path.is_file():
            self.tls[key] = _text(path)
        else:
            self.note(f"tls_config.{key} is left out: there is no file {_text(path)}", theirs)

    def take_tls(self) -> None:
        """Take over how the cluster's certificate is verified."""
        if str(self.value("use_insecure_tls")).lower() in _TRUE:
            self.tls["insecure_skip_verify"] = True
        if self.value("ca_cert"):
            self.take_file("ca_file", "ca_cert")
        key = "tls_min_version"
        if version := str(self.value(key)):
            if version.lower() in _TLS_VERSIONS:
                self.tls["min_version"] = _TLS_VERSIONS[version.lower()]
            else:
                self.note(f"{key} {version} is not supported; at least TLS 1.2 is spoken", key)
        if self.tls:
            self.entry["tls_config"] = self.tls

    def take_labels(self) -> None:
        """Take over the datacenter and the labels, save those that the exporter cannot have."""
        labels = {"datacenter": _text(self.value("datacenter"))} if self.value("datacenter") else {}
        for pair in _list(self.value("labels")):
            labels |= {str(key): _text(value) for key, value in _mapping(pair).items()}
        for name, value in labels.items():
            problems = entry_problems(_dumped({"address": "localhost", "labels": {name: value}}))
            if problems:
                self.note(f"left out: {problems[0]}", "datacenter" if name == "datacenter" else "labels")
            else:
                self.entry.setdefault("labels", {})[name] = value

    def _take_certificate(self, section: _Section) -> bool:
        if section.get("auth_style") != _CERTIFICATE:
            return False
        if not self._take_script(section, "certificate_script"):
            self._take_client_certificate(section)
        return True

    def _take_client_certificate(self, section: _Section) -> None:
        if not self.value("ssl_cert"):
            text = "write tls_config with cert_file and key_file: Harvest finds them by its host's name"
            self.note(text, "auth_style", section)
        for key, theirs in (("cert_file", "ssl_cert"), ("key_file", "ssl_key")):
            if self.value(theirs):
                self.take_file(key, theirs)

    def _take_password(self, section: _Section) -> bool:
        if not section.get("password"):
            return False
        username = _text(self.value("username"))
        self.entry["basic_auth"] = {"username": username, "password": _text(section["password"])}
        return True

    def _take_script(self, section: _Section, key: str = "credentials_script") -> bool:
        if not section.get(key):
            return False
        text = "let it write a file, and name this as password_file or cert_file"
        self.note(f"{key} is not supported: {text}", key, section)
        return True

    def _take_credentials_file(self, section: _Section) -> bool:
        key = "credentials_file"
        if not (file := section.get(key)):
            return False
        try:
            read = _read(self.folder / str(file))
        except OSError as exc:
            self.note(f"{key} {_text(file)} cannot be read: {exc.strerror}", key, section)
            return True
        except ValueError as exc:
            self.note(f"{key} cannot be read: {exc}", key, section)
            return True
        found = [_mapping(_mapping(read.get("Pollers")).get(self.name)), _mapping(read.get("Defaults"))]
        self.sections[1:1] = found
        if self.value("ssl_cert") and any(one.get("ssl_cert") for one in found):
            self._take_client_certificate(section)
        elif not any(self._take_password(one) for one in found):
            self.note(f"{key} {_text(file)} has no password for it", key, section)
        return True


def convert(path: Path) -> str:
    """Return a configuration of the pollers in a file of Harvest, and in those that it names.

    Raises:
        OSError: a file cannot be read.
        ValueError: a file is no configuration of Harvest; names it, and says why.
    """
    whole = _read(path)
    defaults = _mapping(whole.get("Defaults"))
    notes: list[str] = []
    clusters: list[str] = []
    seen: dict[str, str] = {}
    for section in _pollers(whole, path, notes):
        for name, own in section.items():
            location = section.location(name)
            if name in seen:
                notes.append(f"{location}: {_one_line(name)}: left out: it is also at {seen[name]}")
                continue
            seen[name] = location
            sections = [_mapping(own), defaults]
            poller = _Poller(name=name, location=location, folder=path.parent, sections=sections)
            made = _cluster(poller)
            if made:
                clusters += [*(f"  # {note}" for note in poller.notes), *made]
            else:
                notes += poller.notes
    if not seen:
        raise ValueError(f"{path}: no Pollers in it")
    if not clusters:
        raise ValueError(
            f"{path}: no poller of an ONTAP cluster in it that can be taken over:\n" + "\n".join(notes)
        )
    header = [f"# Made of {path.name}. Check it with check-config before it is used."]
    return "\n".join([*header, *(f"# {note}" for note in notes), "clusters:", *clusters]) + "\n"


def _pollers(whole: _Section, path: Path, notes: list[str]) -> Iterator[_Section]:
    """Yield the pollers of a file, and those of every file that it names."""
    yield _mapping(whole.get("Pollers"))
    for pattern in _list(whole.get("Poller_files")):
        # The pattern may be absolute, and the folder may hold characters of a pattern.
        files = sorted(path.parent / one for one in glob(str(pattern), root_dir=path.parent))  # noqa: PTH207
        if not files:
            notes.append(f"{whole.location('Poller_files')}: there is no file {_text(pattern)}")
        for file in files:
            yield _mapping(_read(file).get("Pollers"))


def _read(path: Path) -> _Section:
    try:
        # Harvest puts variables in before it reads the YAML, so their braces must mean nothing there.
        loader = _Loader(_VARIABLE.sub("\ue000\\1\ue001", read_text(path, max_bytes=_MAX_BYTES)))
        read = _plain(loader, loader.get_single_node(), path)
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        line = "" if mark is None else f":{mark.line + 1}"
        raise ValueError(f"{path}{line}: not YAML") from None
    except RecursionError:
        raise ValueError(f"{path}: nested too deeply") from None
    except ValueError as exc:
        raise ValueError(f"{path}: {exc}") from None
    if isinstance(read, _Section):
        return read
    raise ValueError(f"{path}: no configuration of Harvest")


class _Loader(yaml.SafeLoader):
    """Reads YAML without types, so that text stays as it is written; ``<<`` still merges."""

    yaml_implicit_resolvers = {"<": [("tag:yaml.org,2002:merge", re.compile("<<$"))]}  # noqa: RUF012 - as in PyYAML


def _plain(loader: _Loader, node: yaml.Node | None, file: Path) -> object:
    match node:
        case yaml.MappingNode():
            loader.flatten_mapping(node)
            section = _Section(file)
            for key, value in node.value:
                section[str(key.value)] = _plain(loader, value, file)
                section.lines[str(key.value)] = key.start_mark.line + 1
            return section
        case yaml.SequenceNode():
            return [_plain(loader, value, file) for value in node.value]
        case yaml.ScalarNode():
            return "" if node.style is None and node.value in _NULL else node.value
        case _:
            return None


def _why_left_out(poller: _Poller) -> Iterator[tuple[str, str]]:
    """Yield why a poller is left out, each with the key that says so."""
    if str(poller.value("disabled")).lower() in _TRUE:
        yield "it is disabled", "disabled"
    collectors = [
        next(iter(one), "") if isinstance(one, dict) else one for one in _list(poller.value("collectors"))
    ]
    if collectors and not any(_OF_ONTAP.match(str(one)) for one in collectors):
        yield f"its collectors are not of ONTAP: {', '.join(map(str, collectors))}", "collectors"
    if not poller.value("addr"):
        yield "it has no addr", ""


def _cluster(poller: _Poller) -> list[str]:
    """Return the lines of a poller's cluster; none if it is left out, and then its notes say why."""
    left_out = list(_why_left_out(poller))
    poller.entry |= {"name": _text(poller.name), "address": _text(poller.value("addr"))}
    if not left_out:
        poller.take_login()
        poller.take_tls()
        poller.take_labels()
        problems = entry_problems(_dumped(poller.entry))
        left_out = [(problem, "addr" if problem.startswith("address:") else "") for problem in problems]
    for problem, key in left_out:
        poller.note(f"left out: {problem}", key)
    return [] if left_out else [f"  {line}" for line in _dumped(poller.entry).splitlines()]


def _dumped(entry: dict[str, Any]) -> str:
    return yaml.safe_dump([entry], sort_keys=False, allow_unicode=True, width=1000)


def _text(value: object) -> str:
    """Return text as the configuration writes it; Harvest's variables become ``${NAME}``."""
    parts = _MARKED.split(str(value))
    return "".join(
        f"${{{part}}}" if index % 2 else part.replace("$", "$$") for index, part in enumerate(parts)
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _mapping(value: object) -> _Section:
    return value if isinstance(value, _Section) else _Section(Path())


def _list(value: object) -> list[Any]:
    return list(value) if isinstance(value, list) else []
