"""Private files: never accessible to others, written completely, and never through a link."""

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from wizard import files


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    """A umask that gives everyone full access."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(directory: Path) -> list[str]:
    return sorted(each.name for each in directory.iterdir())


def test_every_function_that_writes_creates_a_private_file(tmp_path: Path) -> None:
    files.create(str(tmp_path / "created"), b"1")
    files.create_whole(str(tmp_path / "whole"), b"2")
    files.replace(str(tmp_path / "replaced"), b"3")
    assert {each.name: (mode(each), each.read_bytes()) for each in tmp_path.iterdir()} == {
        "created": (0o600, b"1"),
        "whole": (0o600, b"2"),
        "replaced": (0o600, b"3"),
    }


@pytest.mark.parametrize("create", [files.create, files.create_whole])
def test_an_existing_file_is_never_created_again(tmp_path: Path, create: object) -> None:
    assert callable(create)
    taken, target = tmp_path / "taken", tmp_path / "target"
    taken.symlink_to(target)
    with pytest.raises(FileExistsError):
        create(str(taken), b"new")
    assert names(tmp_path) == ["taken"]


def test_a_replaced_file_becomes_private_and_a_link_to_it_is_not_followed(tmp_path: Path) -> None:
    target, path = tmp_path / "target", tmp_path / "file"
    target.write_text("kept")
    path.symlink_to(target)
    files.replace(str(path), b"new")
    assert (path.is_symlink(), path.read_bytes(), mode(path)) == (False, b"new", 0o600)
    assert target.read_text() == "kept"


@pytest.mark.parametrize("in_place", ["replace", "link"])
def test_a_file_is_synced_before_it_is_put_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_place: str
) -> None:
    """Then its directory is synced, too: a power failure leaves the old or the new version."""
    calls: list[str] = []

    def spy(name: str) -> None:
        real = getattr(os, name)

        def call(*arguments: object, **options: object) -> object:
            calls.append(name)
            return real(*arguments, **options)

        monkeypatch.setattr(os, name, call)

    (tmp_path / "file").write_bytes(b"old")
    for name in ("fsync", "replace", "link", "unlink"):
        spy(name)
    if in_place == "replace":
        files.replace(str(tmp_path / "file"), b"new")
    else:
        files.create_whole(str(tmp_path / "key"), b"new")
    assert [each for each in calls if each in ("fsync", in_place)] == ["fsync", in_place, "fsync"]
    assert in_place == "link" or "unlink" not in calls


def test_a_file_that_changed_between_write_and_rename_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def refuse() -> None:
        raise PermissionError

    with pytest.raises(PermissionError):
        files.replace(str(path), b"new", before_rename=refuse)
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == {"file": b"old"}


def test_a_link_in_place_of_a_log_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "log").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="log"):
        files.open_to_append(str(tmp_path / "log"))
    assert names(tmp_path) == ["log"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def refuse() -> None:
        raise OSError(errno.ENOSPC, "full")

    with pytest.raises(OSError, match="full"):
        files.replace(str(path), b"new", before_rename=refuse)
    assert names(tmp_path) == ["file"]
    assert path.read_text() == "old"


def test_a_file_system_without_unnamed_files_gets_a_named_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, seen = tmp_path / "file", list[list[str]]()

    def look() -> None:
        seen.append(names(tmp_path))

    for _ in range(2):
        files.replace(str(path), b"new", mode=0o640, temporary=f"{path}.new", before_rename=look)
        monkeypatch.setattr(files, "_UNNAMED_FLAGS", 0)
    assert seen[-1] == ["file", "file.new"]
    assert seen[0] == [] or not hasattr(os, "O_TMPFILE")
    assert (names(tmp_path), mode(path)) == (["file"], 0o640)
    (tmp_path / "taken").mkdir()
    with pytest.raises(IsADirectoryError):
        files.replace(str(tmp_path / "taken"), b"new")
    assert names(tmp_path) == ["file", "taken"]


def test_a_leftover_of_a_killed_process_with_the_chosen_name_is_replaced(tmp_path: Path) -> None:
    path, left = tmp_path / "file", tmp_path / "file.new"
    left.write_text("half")
    files.replace(str(path), b"whole", temporary=str(left))
    assert names(tmp_path) == ["file"]
    assert (path.read_bytes(), mode(path)) == (b"whole", 0o600)


def test_a_name_is_resolved_in_the_directory_handle(tmp_path: Path) -> None:
    directory, moved = tmp_path / "one", tmp_path / "two"
    directory.mkdir()
    handle = os.open(directory, os.O_RDONLY)
    directory.rename(moved)
    directory.mkdir()
    try:
        files.replace("file", b"new", directory_fd=handle, temporary="file.new")
        assert (names(directory), names(moved)) == ([], ["file"])
        files.remove("file", handle)
        assert names(moved) == []
    finally:
        os.close(handle)


def test_missing_directories_are_created_private_and_others_are_unchanged(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(0o755)
    files.make_directory(str(tmp_path / "open" / "a" / "b"))
    files.make_directory(str(tmp_path / "open"))
    modes = {each.name: mode(each) for each in tmp_path.rglob("*")}
    assert modes == {"open": 0o755, "a": 0o700, "b": 0o700}


def test_files_and_locks_import_no_slow_module() -> None:
    script = (
        "import sys, os; before = set(sys.modules); import wizard.files, wizard.locks;"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["wizard", "wizard.files", "wizard.locks"]
