"""Saved models: tensors (safetensors) beside a JSON manifest, each written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from pyro_hea.alloys.composition import PropertyTables
from pyro_hea.errors import CheckpointError, MissingFileError, OutputError

SCHEMA_VERSION = 4
"""Of the manifest; a model of another version is refused."""


def write(directory: str | Path, name: str, tensors: Mapping[str, Tensor], manifest: Any) -> None:
    """Write `name.safetensors` and `name.json` into a folder that is made where it is missing.

    The manifest is written last and holds the hash of the tensors, so that an interrupted write
    is found out and never read as a model.

    Raises
    ------
    OutputError
        Where the folder cannot be made or written.
    """
    directory = Path(directory)
    data = save({key: value.detach().cpu().contiguous() for key, value in tensors.items()})
    body = {
        "schema_version": SCHEMA_VERSION,
        "tensors_sha256": hashlib.sha256(data).hexdigest(),
        **manifest,
    }
    text = json.dumps(body, indent=1, ensure_ascii=False) + "\n"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _replace(directory / f"{name}.safetensors", data)
        _replace(directory / f"{name}.json", text.encode())
    except OSError as error:
        raise OutputError(f"cannot write into '{directory}': {error.strerror or error}") from error


def read(directory: str | Path, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `write` wrote, after checking that it is whole and of this version.

    Raises
    ------
    MissingFileError
        Without the folder or either file.
    CheckpointError
        For a file that is truncated, changed, of another version or no checkpoint at all.
    """
    directory = Path(directory)
    manifest_path, tensor_path = directory / f"{name}.json", directory / f"{name}.safetensors"
    for path in (manifest_path, tensor_path):
        if not path.is_file():
            raise MissingFileError(
                f"'{directory}' is no saved model: there is no '{path.name}' in it"
            )
    try:
        manifest = json.loads(manifest_path.read_text(encoding="utf-8"))
        version = manifest["schema_version"]
        expected = manifest["tensors_sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"'{manifest_path}' is no manifest of a model: {error!r}") from None
    if version != SCHEMA_VERSION:
        raise CheckpointError(
            f"'{manifest_path}' has schema version {version}; this release reads "
            f"{SCHEMA_VERSION}. Train the model again, or install the release that wrote it"
        )
    data = tensor_path.read_bytes()
    if hashlib.sha256(data).hexdigest() != expected:
        raise CheckpointError(
            f"'{tensor_path}' is truncated or was changed: its hash is not the manifest's. "
            "Copy the whole folder again, or train again"
        )
    try:
        return load(data), manifest
    except SafetensorError as error:
        raise CheckpointError(f"'{tensor_path}' holds no tensors: {error}") from None


def remove(directory: str | Path, name: str) -> None:
    """Delete what `write` wrote, if it is there."""
    for ending in ("json", "safetensors"):
        (Path(directory) / f"{name}.{ending}").unlink(missing_ok=True)


def hash_of_tensors(tensors: Iterable[Tensor]) -> str:
    """Hash of the values of tensors, in their order."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def hash_of_tables(tables: PropertyTables) -> str:
    """Hash of the element and pair tables that the features of a model were computed from."""
    digest = hashlib.sha256()
    for table in (tables.properties, tables.mixing_enthalpy):
        digest.update(table.to_csv(float_format="%.10g").encode())
    return digest.hexdigest()


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.partial")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
