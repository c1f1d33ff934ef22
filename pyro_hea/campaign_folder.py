"""A campaign in a folder: JSON, a saved model, and the history as CSV to read by eye."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pyro_hea.errors import CheckpointError, MissingFileError, OutputError
from pyro_hea.materials.alloys.dataset import AlloyDataset

_MANIFEST = "campaign.json"

_SCHEMA_VERSION = 1

_PARTS = ("fractions", "labels", "reports", "parts")
"""What is saved of a dataset."""


class SavedCampaign(NamedTuple):
    """What `write_campaign` wrote; `model` is the folder of the model, where there is one."""

    settings: dict[str, Any]
    data: dict[str, AlloyDataset]
    history: pd.DataFrame
    model: Path | None


def write_campaign(
    folder: str | Path,
    settings: Mapping[str, Any],
    data: Mapping[str, AlloyDataset | None],
    history: pd.DataFrame,
    save_model: Callable[[Path], None] | None,
) -> None:
    """Write a campaign.

    Data and model get new names, and the manifest, which names them, is replaced last: a folder
    holds the state before or after, whenever the process ends.

    Raises
    ------
    OutputError
        Where the folder cannot be written.
    """
    folder = Path(folder)
    datasets = {name: _dataset_to_json(some) for name, some in data.items() if some is not None}
    text = json.dumps(datasets, ensure_ascii=False)
    digest = hashlib.sha256(text.encode()).hexdigest()
    data_name, model_name = f"data-{digest[:16]}.json", f"model-{settings['round']}-{digest[:16]}"
    manifest = {
        "schema_version": _SCHEMA_VERSION,
        "data": data_name,
        "data_sha256": digest,
        "model": None if save_model is None else model_name,
        "settings": dict(settings),
        "history": _frame_to_json(history),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _replace(folder / data_name, text)
        if save_model is not None:
            save_model(folder / model_name)
        _replace(folder / _MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False))
        history.to_csv(folder / "history.csv", index=False)
        for path in folder.glob("data-*.json"):
            if path.name != data_name:
                path.unlink()
        for path in folder.glob("model-*"):
            if save_model is None or path.name != model_name:
                shutil.rmtree(path)
    except OSError as error:
        raise OutputError(f"cannot write into '{folder}': {error.strerror or error}") from error


def read_campaign(folder: str | Path) -> SavedCampaign:
    """Read what `write_campaign` wrote.

    Raises
    ------
    MissingFileError
        Without a manifest.
    CheckpointError
        For a folder that is incomplete, changed or of another version.
    """
    folder = Path(folder)
    path = folder / _MANIFEST
    if not path.is_file():
        raise MissingFileError(f"'{folder}' is no campaign: there is no '{_MANIFEST}' in it")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        version = manifest["schema_version"]
        if version != _SCHEMA_VERSION:
            raise CheckpointError(
                f"'{path}' has schema version {version}; this release reads {_SCHEMA_VERSION}"
            )
        text = (folder / Path(manifest["data"]).name).read_text(encoding="utf-8")
        if hashlib.sha256(text.encode()).hexdigest() != manifest["data_sha256"]:
            raise CheckpointError(f"'{manifest['data']}' in '{folder}' was changed or cut short")
        model = manifest["model"]
        return SavedCampaign(
            dict(manifest["settings"]),
            {name: _dataset_from_json(some) for name, some in json.loads(text).items()},
            _frame_from_json(manifest["history"]),
            None if model is None else folder / Path(model).name,
        )
    except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"'{path}' is no campaign that can be read: {error!r}") from None


def _replace(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def _dataset_to_json(data: AlloyDataset) -> dict[str, Any]:
    return {name: _frame_to_json(pd.DataFrame(getattr(data, name))) for name in _PARTS}


def _dataset_from_json(state: Mapping[str, Any]) -> AlloyDataset:
    frames = {name: _frame_from_json(state[name]) for name in _PARTS}
    parts = frames.pop("parts").iloc[:, 0]
    return AlloyDataset(**frames, parts=parts)


def _frame_to_json(frame: pd.DataFrame) -> dict[str, Any]:
    """A table with every digit; None stands for a blank."""
    blank = frame.isna().to_numpy()
    cells = frame.astype(object).to_numpy(copy=True)  # pandas 3 gives a view that is read-only
    cells[blank] = None
    return {
        "columns": [str(c) for c in frame],
        "dtypes": [str(dtype) for dtype in frame.dtypes],
        "index_name": frame.index.name,
        "index": frame.index.tolist(),
        "rows": [[_plain(cell) for cell in row] for row in cells.tolist()],
    }


def _plain(cell: Any) -> Any:
    return cell.item() if isinstance(cell, np.generic) else cell


def _frame_from_json(state: Mapping[str, Any]) -> pd.DataFrame:
    index = pd.Index(state["index"], name=state["index_name"])
    frame = pd.DataFrame(state["rows"], index=index, columns=state["columns"], dtype=object)
    frame = frame.where(frame.notna(), np.nan)
    return frame.astype(dict(zip(state["columns"], state["dtypes"], strict=True)))
