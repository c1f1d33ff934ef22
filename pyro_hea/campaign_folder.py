"""A campaign in a folder: JSON, a saved model, and the history as CSV to read by eye."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import numpy as np
import pandas as pd
from pydantic import Field, ValidationError

from pyro_hea.errors import CheckpointError, DataError, MissingFileError, excerpt
from pyro_hea.files import locked, replacing, write_text, writing_into
from pyro_hea.inference.checkpoint import hash_of_json, read_contents
from pyro_hea.materials.alloys.dataset import AlloyDataset, inert
from pyro_hea.materials.alloys.dataset.table import PARTS as SPLIT
from pyro_hea.materials.alloys.formula import SYMBOLS
from pyro_hea.posterior.manifest import stands_for
from pyro_hea.spec.declaration import Declaration, spec_error

_MANIFEST = "campaign.json"

_SCHEMA_VERSION = 2
"""Since 2 the manifest has a hash of its own."""

_PARTS = ("fractions", "labels", "reports", "parts")
"""What is saved of a dataset."""

Cell = str | bool | int | float | None
T = TypeVar("T", bound=Declaration)


class SavedTable(Declaration):
    """A table with every digit; None stands for a blank."""

    columns: tuple[str, ...]
    dtypes: tuple[Literal["object", "str", "float64", "int64", "bool"], ...]
    index_name: str | None
    index: tuple[str | int, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def frame(self) -> pd.DataFrame:
        """The table, whose rows have to be as long as it is wide."""
        if len(self.columns) != len(set(self.columns)):
            raise ValueError("a column stands twice")
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError("a row is not as long as the table is wide")
        index = pd.Index(self.index, name=self.index_name)
        frame = pd.DataFrame(self.rows, index=index, columns=list(self.columns), dtype=object)
        frame = frame.where(frame.notna(), np.nan)
        return frame.astype(dict(zip(self.columns, self.dtypes, strict=True)))


class SavedDataset(Declaration):
    """The tables of an `AlloyDataset`."""

    fractions: SavedTable
    labels: SavedTable
    reports: SavedTable
    parts: SavedTable


class SavedDatasets(Declaration):
    """Alloys that the model knows, and those that were recorded since."""

    data: SavedDataset
    recorded: SavedDataset | None = None


class CampaignSettings(Declaration):
    """What a `Campaign` is made of beside its alloys."""

    spec: dict[str, Any]
    wishes: Annotated[dict[str, Any], Field(min_length=1)]
    constraints: list[Any]
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    round: Annotated[int, Field(ge=0, le=10**9)]


class CampaignManifest(Declaration):
    """What `campaign.json` declares beside version and hash."""

    data: Annotated[str, Field(pattern=r"^data-[0-9a-f]{16}\.json$")]
    data_sha256: str
    model: Annotated[str, Field(pattern=r"^model-[0-9]+-[0-9a-f]{16}$")] | None
    settings: CampaignSettings
    history: SavedTable


class SavedCampaign(NamedTuple):
    """What `write_campaign` wrote; `model` is the folder of the model, where there is one."""

    settings: CampaignSettings
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
    DataError
        For an alloy whose name is no formula of its fractions.
    OutputError
        Where the folder cannot be written, or another process writes there.
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
    manifest = json.loads(json.dumps(manifest))  # as it is read: lists for tuples
    manifest["manifest_sha256"] = hash_of_json(manifest)
    with locked(folder, "campaign"):
        write_text(folder / data_name, text)
        if save_model is not None:
            save_model(folder / model_name)
        write_text(folder / _MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False))
        with replacing(folder / "history.csv") as file:
            inert(history).to_csv(file, index=False)
        _remove_former(folder, data_name, None if save_model is None else model_name)


def _remove_former(folder: Path, data: str, model: str | None) -> None:
    """Delete data and models but those that the manifest names."""
    with writing_into(folder):
        for path in folder.glob("data-*.json"):
            if path.name != data:
                path.unlink()
        for path in folder.glob("model-*"):
            if path.name != model:
                shutil.rmtree(path)


def read_campaign(folder: str | Path) -> SavedCampaign:
    """Read what `write_campaign` wrote.

    The folder may come from a stranger: its manifest and tables are validated as declarations, and
    every alloy is one of the elements whose formula stands for its fractions.

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
        try:
            return _read(folder)
        except MissingFileError:
            return _read(folder)  # a save may have replaced both between two reads
    except CheckpointError:
        raise
    except MissingFileError as error:
        raise CheckpointError(f"'{path}' is no campaign that can be read: {error}") from None
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise CheckpointError(f"'{path}' is no campaign that can be read: {error!r}") from None
    except RecursionError:
        raise CheckpointError(f"'{path}' is no campaign that can be read: too deep") from None


def _read(folder: Path) -> SavedCampaign:
    path = folder / _MANIFEST
    content = json.loads(read_contents(path))
    version = content.pop("schema_version")
    if version not in range(1, _SCHEMA_VERSION + 1):
        raise CheckpointError(
            f"'{path}' has schema version {excerpt(version)}; this release reads 1 to "
            f"{_SCHEMA_VERSION}"
        )
    if version > 1:
        expected = content.pop("manifest_sha256")
        if hash_of_json({"schema_version": version, **content}) != expected:
            raise CheckpointError(f"'{path}' was changed: its content has not the hash it states")
    manifest = _declared(CampaignManifest, content, path)
    data = read_contents(folder / manifest.data)
    if hashlib.sha256(data).hexdigest() != manifest.data_sha256:
        raise CheckpointError(f"'{manifest.data}' in '{folder}' was changed or cut short")
    saved = _declared(SavedDatasets, json.loads(data), folder / manifest.data)
    datasets = {"data": _checked_dataset(saved.data)}
    if saved.recorded is not None:
        datasets["recorded"] = _checked_dataset(saved.recorded)
    model = None if manifest.model is None else folder / manifest.model
    if model is not None and model.is_symlink():
        raise CheckpointError(f"'{model}' is a link to another folder, which is not followed")
    history = _checked_history(manifest.history.frame())
    return SavedCampaign(manifest.settings, datasets, history, model)


def _declared(kind: type[T], content: Any, where: Path) -> T:
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise CheckpointError(str(spec_error(error, str(where), kind, content))) from None


def _checked_dataset(saved: SavedDataset) -> AlloyDataset:
    fractions, labels, reports, parts = (getattr(saved, name).frame() for name in _PARTS)
    if not len(fractions) or not set(fractions) <= SYMBOLS or not fractions.index.is_unique:
        raise ValueError("the alloys are none, of unknown elements, or one stands twice")
    values = fractions.astype(float)
    if not (values >= 0).all(axis=None):
        raise ValueError("a fraction is below 0 or missing")
    for name, row in _rows(values):
        if not stands_for(name, row):
            raise ValueError(f"{excerpt(name)} is no formula of the alloy that has it")
    if not labels.index.equals(fractions.index) or not parts.index.equals(fractions.index):
        raise ValueError("labels or parts are of other alloys")
    if not {"formula", "target", "value"} <= set(reports) or len(parts.columns) != 1:
        raise ValueError("reports have no formula, target and value, or parts more than one column")
    if not reports["formula"].isin(fractions.index).all():
        raise ValueError("a report is of none of the alloys")
    if not parts.iloc[:, 0].dropna().isin(SPLIT).all():
        raise ValueError(f"an alloy is in no part of the published split: {', '.join(SPLIT)}")
    return AlloyDataset(values, labels, reports, parts.iloc[:, 0])


def _checked_history(history: pd.DataFrame) -> pd.DataFrame:
    first = ["formula", "round", "status", "all_wishes"]
    if list(history)[:4] != first:
        raise ValueError(f"the history does not begin with the columns {', '.join(first)}")
    if not history["status"].isin(["pending", "measured", "failed"]).all():
        raise ValueError("an alloy is neither pending nor measured nor failed")
    if not history["formula"].map(lambda name: isinstance(name, str)).all():
        raise ValueError("an alloy of the history has no formula")
    return history


def _dataset_to_json(data: AlloyDataset) -> dict[str, Any]:
    for name, row in _rows(data.fractions):
        if not stands_for(name, row):
            raise DataError(
                f"{excerpt(name)} is no formula of its fractions: name the alloys of a campaign by "
                "their formulas, as read_alloys does"
            )
    return {name: _frame_to_json(pd.DataFrame(getattr(data, name))) for name in _PARTS}


def _frame_to_json(frame: pd.DataFrame) -> dict[str, Any]:
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


def _rows(fractions: pd.DataFrame) -> Iterable[tuple[Any, dict[Any, float]]]:
    return zip(fractions.index, fractions.to_dict("records"), strict=True)
