"""Saved models that a stranger changed and gave hashes that fit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from pyro_hea.inference import checkpoint


def contents(folder: Path, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and manifest of a saved model, as `checkpoint.write` takes them."""
    tensors, manifest = checkpoint.read(folder, name)
    del manifest["schema_version"], manifest["tensors_sha256"]
    return tensors, manifest


def stranger(
    saved: Path,
    folder: Path,
    name: str,
    edit: Callable[[dict[str, Any]], Any] = lambda manifest: None,
    change: Callable[[dict[str, Tensor]], Any] = lambda tensors: None,
) -> Path:
    """A copy of a saved model with other content and hashes that fit it."""
    tensors, manifest = contents(saved, name)
    change(tensors)
    edit(manifest)
    checkpoint.write(folder, name, tensors, manifest)
    return folder
