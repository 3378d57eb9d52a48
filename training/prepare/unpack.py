"""Unpacks a zip file: into its folder and nowhere else, and not again what is there."""

from __future__ import annotations

import os
import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from .download import Progress


def unpack(archive: Path, folder: Path, last: Callable[[str], bool], progress: Progress) -> None:
    """Unpacks all files, those that ``last`` (by name) picks in the end: where they are, all is.

    Raises ValueError, one line, for what is no zip, is damaged, reaches out of the folder or does not fit;
    OSError where it cannot write.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            members = [member for member in file.infolist() if not member.is_dir()]
            for member in members:
                _check_inside(archive, member)
            folder.mkdir(parents=True, exist_ok=True)
            _check_room_to_unpack(archive, folder, members)
            total, so_far = sum(member.file_size for member in members), 0
            for member in sorted(members, key=lambda member: last(member.filename)):
                _write(file, member, folder / member.filename)
                so_far += member.file_size
                progress("unpacking", so_far, total)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:  # or packed otherwise
        raise ValueError(
            f"{archive}: expected a whole zip file ({error}); delete it and fetch it again"
        ) from error


def _check_inside(archive: Path, member: zipfile.ZipInfo) -> None:
    name = member.filename
    leaves = name.startswith("/") or ".." in PurePosixPath(name).parts or ":" in name or "\\" in name
    if leaves or stat.S_ISLNK(member.external_attr >> 16):
        raise ValueError(f"{archive}: expected files within the folder, found {name!r}; nothing was unpacked")


def _there(member: zipfile.ZipInfo, folder: Path) -> bool:
    path = folder / member.filename
    return path.is_file() and path.stat().st_size == member.file_size


def _check_room_to_unpack(archive: Path, folder: Path, members: list[zipfile.ZipInfo]) -> None:
    needed = sum(member.file_size for member in members if not _there(member, folder))
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ValueError(
            f"{archive}: expected {needed / 1e9:.1f} GB of free space in {folder} to unpack it, "
            f"there are {free / 1e9:.1f}; make room"
        )


def _write(file: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> None:
    if path.is_file() and path.stat().st_size == member.file_size:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        with file.open(member) as packed, part.open("wb") as out:
            shutil.copyfileobj(packed, out, 1 << 20)  # checks the CRC at its end
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
