"""Files that are written whole or not at all, by one process at a time."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from socket import gethostname
from typing import IO

from pyro_hea.errors import OutputError

if sys.platform != "win32":  # on Windows nothing is locked
    import fcntl


@contextmanager
def replacing(path: str | Path, make_folder: bool = False) -> Iterator[Path]:
    """Give a temporary path beside `path`, which replaces it at the end.

    The content is on the disk before the file gets its name, so that a process that is killed and
    a computer that loses power leave the old file or the new one.

    Parameters
    ----------
    path : path
    make_folder : bool
        Where it is missing; otherwise that is an error, as of a name that is misspelt.

    Raises
    ------
    OutputError
        Where the folder cannot be made or written, or the disk is full; the old file stays.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     with replacing(f"{folder}/a.txt") as temporary:
    ...         _ = temporary.write_text("whole")
    ...     Path(f"{folder}/a.txt").read_text()
    'whole'
    """
    path = Path(path)
    temporary = path.with_name(f".partial.{path.name}")  # with the suffix, which gives a format
    try:
        if make_folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _synchronise(temporary)
        os.replace(temporary, path)
        _synchronise(path.parent)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(
            f"cannot write into '{path.parent}': {error.strerror or error} ('{path.name}')"
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_bytes(path: str | Path, data: bytes, make_folder: bool = False) -> None:
    """Write a file whole or not at all; see `replacing`."""
    with replacing(path, make_folder) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | Path, text: str, make_folder: bool = False) -> None:
    """Write a file in UTF-8, whole or not at all; see `replacing`."""
    write_bytes(path, text.encode(), make_folder)


@contextmanager
def writing_into(folder: str | Path) -> Iterator[None]:
    """Turn what the system refuses into an `OutputError` that names the folder."""
    try:
        yield
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"cannot write into '{folder}': {error.strerror or error}") from error


def writable(folder: str | Path) -> Path:
    """Make a folder where it is missing, and try to write into it.

    Raises
    ------
    OutputError
    """
    probe = Path(folder) / ".probe"
    with writing_into(folder):
        probe.parent.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    return probe.parent


@contextmanager
def locked(folder: str | Path, name: str) -> Iterator[None]:
    """Hold the lock file `.NAME.lock` of a folder, which is made where it is missing.

    The lock ends with the process, however that ends. File systems without locks, and Windows, are
    not protected.

    Raises
    ------
    OutputError
        Where another process holds it, which is named; or where the folder cannot be written.
    """
    path = Path(folder) / f".{name}.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = _lock(path)
    except BlockingIOError:
        holder = path.read_text(encoding="utf-8", errors="replace").strip() or "another process"
        raise OutputError(
            f"cannot write into '{folder}': {holder} is writing there. Wait until it has ended, or "
            "choose another folder"
        ) from None
    except OSError as error:
        raise OutputError(f"cannot write into '{folder}': {error.strerror or error}") from error
    with file:
        try:
            yield
        finally:
            with suppress(OSError):
                path.unlink(missing_ok=True)


def _lock(path: Path) -> IO[str]:
    while True:
        file = path.open("a+", encoding="utf-8")
        try:
            if sys.platform != "win32":
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                file.truncate(0)
                file.write(f"process {os.getpid()} on {gethostname()}")
                file.flush()
                return file
        except BaseException:
            file.close()
            raise
        file.close()  # its holder removed it meanwhile; the next try makes another one


def _synchronise(path: Path) -> None:
    """Have a file, or the names in a folder, written to the disk."""
    if os.name == "nt" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
