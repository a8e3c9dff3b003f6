from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.files import read_file, read_text, write_file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


def _make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def test_file_as_large_as_the_limit_is_read_whole(path: Path) -> None:
    path.write_bytes(b"x" * 2048)
    assert read_file(path, max_bytes=2048) == b"x" * 2048


@pytest.mark.parametrize(
    ("max_bytes", "message"),
    [(3, "larger than 3 bytes"), (1024, "larger than 1 KiB"), (1024 * 1024, "larger than 1 MiB")],
)
def test_larger_file_is_an_error_that_says_the_limit(path: Path, max_bytes: int, message: str) -> None:
    path.write_bytes(b"x" * (max_bytes + 1))
    with pytest.raises(ValueError, match=f"^{message}$"):
        read_file(path, max_bytes=max_bytes)


@pytest.mark.parametrize(
    "make",
    [os.mkfifo, _make_socket, lambda path: path.symlink_to("/dev/zero")],
    ids=["pipe", "socket", "device"],
)
def test_a_file_that_is_not_regular_is_an_error_and_does_not_block(
    path: Path, make: Callable[[Path], None]
) -> None:
    make(path)
    with pytest.raises(ValueError, match=r"^not a regular file$"):
        read_file(path, max_bytes=10)


def test_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        read_file(tmp_path, max_bytes=10)


def test_impossible_name_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"^cannot be read: no file can have this name$"):
        read_file(Path("a\0b"), max_bytes=10)


def test_pipe_that_nobody_writes_to_is_empty(path: Path) -> None:
    os.mkfifo(path)
    assert read_file(path, max_bytes=10, may_be_stream=True) == b""


def test_pipe_is_read_until_its_writer_ends(path: Path) -> None:
    os.mkfifo(path)
    writing = threading.Thread(target=path.write_bytes, args=(b"x" * 200_000,))
    held = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writing.start()
    assert select.select([held], [], [], 60)[0]
    content = read_file(path, max_bytes=200_000, may_be_stream=True)
    os.close(held)
    writing.join(60)
    assert content == b"x" * 200_000


def test_endless_stream_is_an_error() -> None:
    with pytest.raises(ValueError, match="larger than 4 KiB"):
        read_file(Path("/dev/zero"), max_bytes=4096, may_be_stream=True)


def test_text_has_no_byte_order_mark(path: Path) -> None:
    path.write_bytes("\ufeffä\n".encode())
    assert read_text(path, max_bytes=10) == "ä\n"


def test_text_that_is_not_utf8_is_an_error_without_its_content(path: Path) -> None:
    path.write_bytes(b"made-up\xff")
    with pytest.raises(ValueError, match=r"^not UTF-8$") as caught:
        read_text(path, max_bytes=10)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_pipe_is_written_to_and_stays_a_pipe(path: Path) -> None:
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    write_file(path, b"a plan")
    assert os.read(reading, 100) == b"a plan"
    os.close(reading)
    assert path.is_fifo()


def test_a_folder_is_not_written_to(tmp_path: Path) -> None:
    for folder in (tmp_path, Path()):
        with pytest.raises(IsADirectoryError):
            write_file(folder, b"a plan")


def test_a_link_in_the_place_of_the_unfinished_file_is_not_followed(tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "plan.json"
    victim.write_bytes(b"untouched")
    (tmp_path / f".plan.json.{os.getpid()}").symlink_to(victim)
    write_file(path, b"a plan")
    assert (victim.read_bytes(), path.read_bytes(), path.is_symlink()) == (b"untouched", b"a plan", False)
