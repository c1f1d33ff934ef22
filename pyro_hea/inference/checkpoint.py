"""Saved models: tensors (safetensors) and a JSON manifest, with a hash of either."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from pyro_hea.errors import CheckpointError, MissingFileError
from pyro_hea.files import write_bytes
from pyro_hea.materials.alloys.element_tables import PropertyTables

SCHEMA_VERSION = 5
"""Of the manifest; since 5 the manifest has a hash of its own."""

_LARGEST_MANIFEST = 2**28
"""Bytes of a manifest that is read, which lists the training alloys: enough for ten million."""


def write(directory: str | Path, name: str, tensors: Mapping[str, Tensor], manifest: Any) -> None:
    """Write tensors, then the manifest `name.json`, into a folder that is made where it is missing.

    The file of the tensors has their hash in its name, and the manifest, which names it, is
    replaced last: a process that is killed at any time leaves what was saved before or what it
    saves. Only one process may write at a time; see `pyro_hea.files.locked`.

    Raises
    ------
    OutputError
        Where the folder cannot be made or written.
    """
    directory = Path(directory)
    data = save({key: value.detach().cpu().contiguous() for key, value in tensors.items()})
    digest = hashlib.sha256(data).hexdigest()
    body = {"schema_version": SCHEMA_VERSION, "tensors_sha256": digest, **manifest}
    body["manifest_sha256"] = hash_of_json(body)
    text = json.dumps(body, indent=1, ensure_ascii=False) + "\n"
    kept = _tensor_file(name, SCHEMA_VERSION, digest)
    write_bytes(directory / kept, data, make_folder=True)
    write_bytes(directory / f"{name}.json", text.encode())
    _remove_tensors(directory, name, kept)


def read(
    directory: str | Path, name: str, oldest: int = SCHEMA_VERSION
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `write` wrote, after checking that it is whole and unchanged.

    Parameters
    ----------
    directory : path
    name : str
    oldest : int
        Oldest schema version that the caller understands.

    Raises
    ------
    MissingFileError
        Without the folder or either file.
    CheckpointError
        For a file that is truncated, changed, of another version, unreadable, a link to another
        folder, or no checkpoint at all.
    """
    directory = Path(directory)
    try:
        return _read(directory, name, oldest)
    except MissingFileError:
        return _read(directory, name, oldest)  # a save may have replaced both between two reads


def _read(directory: Path, name: str, oldest: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
    manifest_path = directory / f"{name}.json"
    text = read_contents(manifest_path, _LARGEST_MANIFEST)
    try:
        manifest = json.loads(text)
        version, expected = manifest["schema_version"], str(manifest["tensors_sha256"])
        changed = (
            type(version) is int
            and version >= 5
            and manifest.pop("manifest_sha256") != hash_of_json(manifest)
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(f"'{manifest_path}' is no manifest of a model: {error!r}") from None
    if type(version) is not int or not oldest <= version <= SCHEMA_VERSION:
        reads = SCHEMA_VERSION if oldest == SCHEMA_VERSION else f"{oldest} to {SCHEMA_VERSION}"
        raise CheckpointError(
            f"'{manifest_path}' has schema version {version}; this release reads "
            f"{reads}. Train the model again, or install the release that wrote it"
        )
    if changed:
        raise CheckpointError(
            f"'{manifest_path}' was changed: its content does not have the hash that it states. "
            "Copy the whole folder again, or train again"
        )
    tensor_path = directory / _tensor_file(name, version, expected)
    data = read_contents(tensor_path)
    if hashlib.sha256(data).hexdigest() != expected:
        raise CheckpointError(
            f"'{tensor_path}' is truncated or was changed: its hash is not the manifest's. "
            "Copy the whole folder again, or train again"
        )
    try:
        return load(data), manifest
    except (SafetensorError, KeyError, ValueError, RuntimeError, TypeError) as error:
        raise CheckpointError(f"'{tensor_path}' holds no tensors: {error}") from None


def exists(directory: str | Path, name: str) -> bool:
    """Whether something was saved under that name."""
    return (Path(directory) / f"{name}.json").exists()


def remove(directory: str | Path, name: str) -> None:
    """Delete what `write` wrote, if it is there; the manifest first."""
    (Path(directory) / f"{name}.json").unlink(missing_ok=True)
    _remove_tensors(Path(directory), name, None)


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


def hash_of_json(body: Mapping[str, Any]) -> str:
    """Hash of plain values, whatever the layout of the file that they are in."""
    text = json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _tensor_file(name: str, version: int, digest: str) -> str:
    if version < 5:
        return f"{name}.safetensors"
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise CheckpointError(f"tensors_sha256 of '{name}.json' is no SHA-256: {digest[:80]!r}")
    return f"{name}-{digest[:16]}.safetensors"


def check_state(
    tensors: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
    may_lack: Collection[str] = (),
    infinite: Collection[str] = (),
) -> None:
    """Compare each tensor of a state of a training with what is expected there.

    Parameters
    ----------
    tensors, expected : mapping of str to Tensor
    may_lack : collection of str
        What only one of the two may have.
    infinite : collection of str
        What need not be finite.

    Raises
    ------
    CheckpointError
        For a tensor that is missing, unknown, not finite, or of another shape or type.
    """
    for name in sorted((expected.keys() ^ tensors.keys()) - set(may_lack)):
        kind = "no" if name in expected else "an unknown"
        raise CheckpointError(f"the training state has {kind} tensor '{name}'")
    for name in sorted(expected.keys() & tensors.keys()):
        value, like = tensors[name], expected[name]
        if value.shape != like.shape or value.dtype != like.dtype:
            raise CheckpointError(
                f"the training state has '{name}' as {value.dtype} of shape "
                f"{tuple(value.shape)}; here it is {like.dtype} of shape {tuple(like.shape)}"
            )
        if name not in infinite and not value.isfinite().all():
            raise CheckpointError(f"'{name}' of the training state is not finite")


def read_contents(path: Path, largest: float = float("inf")) -> bytes:
    """The bytes of a file, which must lie in its folder itself and be no larger than that.

    Raises
    ------
    MissingFileError, CheckpointError
    """
    try:
        if not path.is_file():
            raise MissingFileError(
                f"'{path.parent}' is no saved model: there is no '{path.name}' in it"
            )
        if path.resolve().parent != path.parent.resolve():
            raise CheckpointError(
                f"'{path}' is a link to another folder, which is not followed. Copy the file itself"
            )
        if path.stat().st_size > largest:
            raise CheckpointError(f"'{path}' is larger than any manifest: {largest} bytes")
        return path.read_bytes()
    except MissingFileError:
        raise
    except OSError as error:
        raise CheckpointError(f"'{path}' cannot be read: {error.strerror or error}") from None


def _remove_tensors(directory: Path, name: str, kept: str | None) -> None:
    """Delete files of tensors but the one that is kept, and what a killed save left behind."""
    of_name = re.compile(rf"(\.partial\.)?{re.escape(name)}(-[0-9a-f]{{16}})?\.(safetensors|json)")
    for path in directory.glob(f"*{name}*"):
        stale = path.name.startswith(".") or path.suffix == ".safetensors"
        if stale and path.name != kept and of_name.fullmatch(path.name):
            with suppress(OSError):
                path.unlink(missing_ok=True)
