"""Files are written whole or not at all."""

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from genprob import atomic
from genprob.errors import ResourceError, UsageError


@pytest.fixture
def small_disk():
    """A real file system of one megabyte."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small disk needs root")
    folder = Path(tempfile.mkdtemp())
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True).returncode:
        pytest.skip("this system does not let us mount")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
    folder.rmdir()


@pytest.mark.parametrize("content", ["tëxt", b"bytes", lambda path: path.write_text("tëxt")])
def test_replaces_the_old_file_and_leaves_nothing_else(tmp_path, content):
    target = tmp_path / "a"
    target.write_text("old")
    assert atomic.write(target, content) == target
    assert target.read_bytes() in ("tëxt".encode(), b"bytes")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_folder_takes_the_place_of_a_folder(tmp_path):
    target = tmp_path / "a"
    for text in ("one", "two"):
        with atomic.replacing(target) as folder:
            folder.mkdir()
            (folder / text).write_text(text)
    assert [p.name for p in target.iterdir()] == ["two"]
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_folder_takes_a_folders_place_without_the_system_call(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "platform", "other")
    test_a_folder_takes_the_place_of_a_folder(tmp_path)


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), UsageError("y")])
def test_a_failure_keeps_the_old_file_and_is_passed_on(tmp_path, error):
    target = tmp_path / "a"
    target.write_text("old")

    def fail(path):
        path.write_text("half")
        raise error

    with pytest.raises(type(error)) as caught:
        atomic.write(target, fail)
    assert caught.value is error
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.ENOMEM])
@pytest.mark.parametrize("place", ["write", "fsync"])
def test_no_room_is_a_resource_error(tmp_path, monkeypatch, number, place):
    target = tmp_path / "a"
    target.write_text("old")

    def refuse(*_, **__):
        raise OSError(number, "refused")

    if place == "write":
        monkeypatch.setattr(Path, "write_bytes", refuse)
    else:
        monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(ResourceError, match=r"a: .*5 bytes are needed.* are free"):
        atomic.write(target, b"12345")
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("text", ["Can't flush (errno = 28, error message = '')", "IO error: (os error 28)"])
def test_libraries_that_only_say_it_in_words(tmp_path, text):
    def fail(path):
        raise RuntimeError(text)

    with pytest.raises(ResourceError, match="the disk is full"):
        atomic.write(tmp_path / "a", fail)


def test_an_unrelated_number_in_a_message_is_no_full_disk(tmp_path):
    def fail(path):
        raise RuntimeError("line 28 is wrong")

    with pytest.raises(RuntimeError, match="line 28"):
        atomic.write(tmp_path / "a", fail)


def test_a_size_beyond_the_disk_is_refused_before_writing(tmp_path):
    written = []
    with pytest.raises(ResourceError, match="bytes are needed"):
        atomic.write(tmp_path / "a", written.append, size=1 << 60)
    assert not written


def test_a_full_disk(small_disk):
    target = small_disk / "a"
    target.write_bytes(b"old")
    with pytest.raises(ResourceError, match="the disk is full"):
        atomic.write(target, lambda path: path.write_bytes(bytes(2 << 20)))
    with pytest.raises(ResourceError, match="2,097,152 bytes are needed"):
        atomic.write(target, bytes(2 << 20))
    assert target.read_bytes() == b"old"
    assert [p.name for p in small_disk.iterdir()] == ["a"]


def test_a_folder_that_is_not_there_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="none/a: cannot be written"):
        atomic.write(tmp_path / "none" / "a", "x")


def test_a_kill_while_writing_keeps_the_old_file(tmp_path):
    target = tmp_path / "a"
    target.write_text("old")
    code = (
        "import os, signal, sys; from pathlib import Path; from genprob import atomic\n"
        "def half(path):\n path.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)\n"
        f"atomic.write(Path({str(target)!r}), half)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    assert target.read_text() == "old"
