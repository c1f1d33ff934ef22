"""Predicted targets of crystals, and of formulas with their structure summed out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pyro_hea.devices import seeded
from pyro_hea.errors import DataError
from pyro_hea.materials.crystals import CrystalDataset
from pyro_hea.posterior.crystal_ensemble import (
    CrystalEnsemble,
    Formulas,
    Option,
    compositions_of,
    dataset_of_crystals,
)
from pyro_hea.posterior.idata import to_inference_data
from pyro_hea.posterior.marginals import Marginal, marginals
from pyro_hea.posterior.predictions import INTERVAL, prediction_table

if TYPE_CHECKING:
    import arviz as az

    from pyro_hea.program.crystals import CrystalModel

_OPTIONS, _UNLIKELY = 8, 0.02
"""Structures of a formula that are asked for, and the probability below which none is."""


def predict_crystals(ensemble: CrystalEnsemble, crystals: CrystalDataset) -> pd.DataFrame:
    """Every target of crystals of known structure, by id; columns as of `predict`."""
    inputs = ensemble.inputs(crystals, labels=False)
    answers = marginals(ensemble.model, inputs)
    novelty = np.zeros(len(inputs))
    index = pd.Index(crystals.ids, name="id")
    return prediction_table(ensemble.spec.targets, answers, novelty, INTERVAL, index)


def predict_formulas(ensemble: CrystalEnsemble, formulas: Formulas) -> pd.DataFrame:
    """Every target of formulas, averaged over the structures that each may have.

    Returns
    -------
    DataFrame
        By formula, columns as of `predict`; before them `prototype`, the most probable one, and
        `prototype_probability`.
    """
    compositions = compositions_of(formulas)
    inputs = ensemble.inputs_of_formulas(compositions)
    several = list(ensemble.options(inputs, _OPTIONS, _UNLIKELY))
    every = [option for options in several for option in options]
    answers = marginals(
        ensemble.model, ensemble.inputs(dataset_of_crystals([o.crystal for o in every]))
    )
    width = max(map(len, several))
    rows = np.zeros((width, len(several)), int)
    weight = np.zeros((width, len(several)))
    first = 0
    for i, options in enumerate(several):
        rows[: len(options), i] = np.arange(first, first + len(options))
        chances = np.array([option.probability for option in options])
        weight[: len(options), i] = chances / chances.sum()
        first += len(options)
    mixed = {name: _mixed(marginal, rows, weight) for name, marginal in answers.items()}
    names = [formulas] if isinstance(formulas, str) else list(formulas)
    index = pd.Index(names, name="formula")
    likeliest = pd.DataFrame(
        {
            "prototype": [options[0].prototype for options in several],
            "prototype_probability": [_of_prototype(options) for options in several],
        },
        index,
    )
    table = prediction_table(ensemble.spec.targets, mixed, np.zeros(len(index)), INTERVAL, index)
    told = pd.concat([likeliest, table], axis=1)
    told.attrs["units"] = {"prototype_probability": "probability", **table.attrs["units"]}
    return told


def _of_prototype(options: list[Option]) -> float:
    """Probability of the first option's prototype, whatever its assignment."""
    return sum(o.probability for o in options if o.prototype == options[0].prototype)


def _mixed(marginal: Marginal, rows: np.ndarray, weight: np.ndarray) -> Marginal:
    """A mixture with a branch for each structure of a formula, (B, K, N)."""
    at = torch.as_tensor(rows)
    share = torch.as_tensor(weight).to(marginal.outputs).clamp_min(1e-30).log()
    outputs = marginal.outputs[0][:, at].movedim(1, 0)
    log_weight = share.unsqueeze(1).expand(*outputs.shape[:-1])
    return Marginal(marginal.site, log_weight, outputs, {})


def encode_crystals(
    ensemble: CrystalEnsemble, crystals: CrystalDataset, member: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """z_composition and z_structure of crystals in one member, with known labels, by id."""
    latents = ensemble.of_member(member).encode(ensemble.inputs_with_latents(crystals))
    index = pd.Index(crystals.ids, name="id")
    composition, structure = (
        pd.DataFrame(z[0].numpy(), index, [f"{name}{i}" for i in range(z.shape[-1])])
        for name, z in zip(("z_composition", "z_structure"), latents, strict=True)
    )
    return composition, structure


def crystal_posterior(
    ensemble: CrystalEnsemble, crystals: CrystalDataset, draws: int, seed: int
) -> az.InferenceData:
    """Draws of the guide for crystals: targets without a label, and both latents.

    The dimension `chain` is the member.
    """
    if draws < 1:
        raise DataError(f"draws={draws} is not allowed; at least one is drawn")
    inputs = ensemble.inputs_with_latents(crystals)
    drawn = _draws(ensemble.model, inputs, draws, seed)
    latents = {name: drawn.pop(name) for name in ("z_composition", "z_structure")}
    observed = {
        name: np.where(inputs.known(name).numpy(), y.numpy(), np.nan)
        for name, y in inputs.targets.items()
    }
    return to_inference_data(
        {"posterior": {**drawn, **latents}},
        observed=observed,
        constant={},
        dims={name: ["crystal", f"{name}_dim"] for name in latents},
        default_dims=["crystal"],
        coords={"crystal": crystals.ids},
        attributes={"model": "CrystalVAE", "draws_are_of": "the guide"},
    )


def _draws(model: CrystalModel, inputs: Any, draws: int, seed: int) -> dict[str, np.ndarray]:
    found: dict[str, list[Tensor]] = {}
    with torch.no_grad(), seeded(seed):
        for _ in range(draws):
            for name, value in model.guide(inputs).items():
                found.setdefault(name, []).append(value)
    shape = (model.members, len(inputs))
    return {
        name: torch.stack(
            [v.expand(*shape, *v.shape[2:]) if v.dim() > 1 else v.expand(shape) for v in values], 1
        ).numpy()
        for name, values in found.items()
    }
