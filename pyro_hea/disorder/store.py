"""Energies on disk by content, so that none is paid for twice."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from math import isfinite
from pathlib import Path

from pyro_hea.errors import OutputError, excerpt

_SCHEMA = "CREATE TABLE IF NOT EXISTS energies (key TEXT PRIMARY KEY, energy REAL, failure TEXT)"

_AT_ONCE = 500


def content_key(*parts: str | bytes) -> str:
    """Hash of all that an energy depends on.

    Examples
    --------
    >>> content_key("emt", "Ni4") == content_key("emt", "Ni4"), len(content_key("emt"))
    (True, 64)
    """
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


class EnergyStore:
    """A file of energies, which several processes may read and write.

    Each energy is on the disk as soon as it is known: whatever ends a process, it is there when
    the next one asks.

    Parameters
    ----------
    path : path or None
        An SQLite file, made with its folder where it is missing. None keeps nothing.

    Raises
    ------
    OutputError
        Where the file cannot be written, or is no such file.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     EnergyStore(f"{folder}/e.sqlite").write("a", -1.5, None)
    ...     EnergyStore(f"{folder}/e.sqlite").read(["a", "b"])
    {'a': (-1.5, None)}
    """

    def __init__(self, path: str | Path | None) -> None:
        self.path = None if path is None else Path(path)
        if self.path is not None:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise OutputError(f"cannot write '{self.path}': {error.strerror}") from error
            with self._connection() as database:
                database.execute(_SCHEMA)

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(str(self.path), timeout=60)) as database, database:
                database.execute("PRAGMA trusted_schema = OFF")  # views and triggers run nothing
                yield database
        except sqlite3.Error as error:
            raise OutputError(
                f"cannot use the energies in '{self.path}': {error}. Name another file, or "
                "delete this one"
            ) from error

    def read(self, keys: Iterable[str]) -> Mapping[str, tuple[float | None, str | None]]:
        """Energy in eV, or why there is none, of the keys that are known."""
        wanted = list(dict.fromkeys(keys))
        if self.path is None:
            return {}
        found = {}
        with self._connection() as database:
            for start in range(0, len(wanted), _AT_ONCE):
                some = wanted[start : start + _AT_ONCE]
                marks = ",".join("?" * len(some))
                rows = database.execute(
                    f"SELECT key, energy, failure FROM energies WHERE key IN ({marks})", some
                )
                found.update({key: self._checked(*answer) for key, *answer in rows})
        return found

    def _checked(self, energy: object, failure: object) -> tuple[float | None, str | None]:
        """What a file that somebody else made may hold: a finite energy, or a reason."""
        if isinstance(energy, float) and isfinite(energy) and failure is None:
            return energy, None
        if energy is None and isinstance(failure, str):
            return None, failure
        raise OutputError(
            f"'{self.path}' holds {excerpt(energy)} where an energy in eV is meant. Name another "
            "file, or delete this one"
        )

    def forget(self, keys: Iterable[str]) -> None:
        """Drop what is known of these keys."""
        if self.path is not None:
            with self._connection() as database:
                rows = [(key,) for key in keys]
                database.executemany("DELETE FROM energies WHERE key = ?", rows)

    def write(self, key: str, energy: float | None, failure: str | None) -> None:
        """Keep an energy, or why there is none."""
        if self.path is not None:
            with self._connection() as database:
                values = (key, energy, failure)
                database.execute("INSERT OR REPLACE INTO energies VALUES (?, ?, ?)", values)
