"""Whether others on this machine can read the secrets in the files of a configuration, or change a file."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Final

from exporter.config.files import openness
from exporter.config.layers import Key, Layer, Setting
from exporter.config.model import Written
from exporter.config.problems import Place, Problem
from exporter.config.scalars import has_variable
from exporter.config.state import passwords_of

_LOGIN_SECRETS: Final[tuple[Key, ...]] = (("basic_auth", "password"), ("authorization", "credentials"))
_STATE: Final[Key] = ("state",)


def exposed_files(written: Written) -> Iterator[Problem]:
    """Yield a warning for each file that everyone can write, or read where a secret itself stands in it."""
    main = written.defaults.place.position.file
    secrets = _first_secrets(
        chain(
            (written.defaults, *written.profiles.values(), *written.entries),
            () if written.cleanup is None else (written.cleanup,),
        )
    )
    for file in (main, *(str(one.path) for one in written.cluster_files)):
        mode = _mode(Path(file))
        if file in secrets and (how := openness(mode)) is not None:
            yield secrets[file].problem(how)
        elif mode & stat.S_IWOTH:
            message = f"every user of this machine can write the file (mode {mode:04o})"
            yield Problem(file=file, line=0, key="", message=message)


def _mode(path: Path) -> int:
    """Return who may do what with a file; with what is none, such as a pipe, nobody may do anything."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return 0
    return stat.S_IMODE(mode) if stat.S_ISREG(mode) else 0


def _first_secrets(layers: Iterable[Layer]) -> dict[str, Place]:
    """Return the place of the first secret in each file that has one."""
    first: dict[str, Place] = {}
    for layer in layers:
        for key in (*_LOGIN_SECRETS, _STATE):
            setting = layer.settings.get(key)
            if setting is not None and _is_secret_itself(key, layer, setting):
                place = setting.place
                before = first.get(place.position.file, place)
                first[place.position.file] = min(before, place, key=lambda one: one.position)
    return first


def _is_secret_itself(key: Key, layer: Layer, setting: Setting) -> bool:
    """Tell whether a secret stands in the file, and not only the name of an environment variable."""
    if key != _STATE:
        return setting.written is None
    secret = layer.secret(*key)
    if secret is None:
        return False
    if setting.written is None:
        return bool(passwords_of(secret.read()))
    return not all(map(has_variable, passwords_of(setting.written)))
