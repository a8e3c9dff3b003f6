"""Reads small files: at most a given size, and without waiting for a pipe or a device. Writes whole ones.

Call these functions in a thread: a file on a mount that hangs blocks forever.
"""

from __future__ import annotations

import codecs
import os
import stat
from pathlib import Path
from typing import Final

_UNITS: Final = (("MiB", 1024 * 1024), ("KiB", 1024))


def read_file(path: Path, *, max_bytes: int, may_be_stream: bool = False) -> bytes:
    """Return the whole content of a regular file.

    With ``may_be_stream``, also that of a pipe or a device, such as ``/dev/stdin`` or the shell's
    ``<(command)``.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not a regular file, it is too large, or its name is impossible. The message does not
            repeat the path.
    """
    if "\0" in str(path):
        raise ValueError("cannot be read: no file can have this name")
    if not may_be_stream:
        _check_regular(path.stat())  # checked before it is opened: opening a device may have an effect
    # Opening a pipe that nobody writes to would block.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not may_be_stream:
            _check_regular(os.fstat(descriptor))  # the path may lead to another file by now
        os.set_blocking(descriptor, True)
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(max_bytes + 1)
    finally:
        os.close(descriptor)
    if len(content) > max_bytes:
        raise ValueError(f"larger than {_format_size(max_bytes)}")
    return content


def read_text(path: Path, *, max_bytes: int) -> str:
    """Return the text of a regular file, without a byte order mark.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not a regular file, it is too large or not UTF-8. The message holds neither the path
            nor the content.
    """
    content = read_file(path, max_bytes=max_bytes)
    check_encoding(content)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None


def check_encoding(content: bytes) -> None:
    """Raise ValueError if a text begins with the byte order mark of another encoding than UTF-8."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ValueError("encoded as UTF-16; save the file as UTF-8")


def write_file(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all; a pipe or a device, such as ``/dev/stdout``, is written to as it is.

    Raises:
        OSError: it cannot be written.
    """
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.unlink(missing_ok=True)  # of a process that had this number, or a link that somebody put there
    try:
        with unfinished.open("xb") as file:
            file.write(content)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def why_unreadable(error: OSError | ValueError) -> str:
    """Return the message of an error from these functions, without the path."""
    return f"cannot be read: {error.strerror}" if isinstance(error, OSError) else str(error)


def _check_regular(status: os.stat_result) -> None:
    # A folder is allowed here: reading it fails with a better message.
    if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
        raise ValueError("not a regular file")


def _format_size(size_bytes: int) -> str:
    unit, unit_bytes = next(
        ((name, size) for name, size in _UNITS if size_bytes % size == 0 and size_bytes), ("bytes", 1)
    )
    return f"{size_bytes // unit_bytes} {unit}"
