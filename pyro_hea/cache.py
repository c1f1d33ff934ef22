"""Where default models are kept between sessions, and under which name."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyro_hea.spec import ModelSpec

VARIABLE = "PYRO_HEA_CACHE"
"""Environment variable that names another folder."""


def cache_folder() -> Path:
    """The folder of default models; it need not exist.

    `PYRO_HEA_CACHE`, or `pyro_hea` in the user's cache folder: `XDG_CACHE_HOME`, else the one of
    the platform (`~/.cache`, `~/Library/Caches`, `%LOCALAPPDATA%`).

    Raises
    ------
    OSError
        Where there is no home folder.
    """
    if own := os.environ.get(VARIABLE):
        return Path(own).expanduser()
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        return Path(xdg) / "pyro_hea"
    try:
        home = Path.home()
    except RuntimeError as error:
        raise OSError("there is no home folder") from error
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "pyro_hea"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local")) / "pyro_hea"
    return home / ".cache" / "pyro_hea"


def model_key(spec: ModelSpec) -> str:
    """Hash of all that a default model depends on: spec, embedded tables and version.

    Examples
    --------
    >>> from pyro_hea import ModelSpec
    >>> model_key(ModelSpec()) == model_key(ModelSpec(training={"members": 2}))
    False
    """
    digest = hashlib.sha256(json.dumps(spec.to_mapping(), sort_keys=True).encode())
    digest.update(version("pyro-hea").encode())
    tables = (file for file in files("pyro_hea.data").iterdir() if ".csv" in file.name)
    for table in sorted(tables, key=lambda file: file.name):
        digest.update(table.read_bytes())
    return digest.hexdigest()[:16]


def write_folder(folder: Path, write: Callable[[Path], None]) -> None:
    """Fill a folder that appears whole or not at all, in place of the one that is there.

    Raises
    ------
    OSError
        Where it cannot be written.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        write(partial)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
