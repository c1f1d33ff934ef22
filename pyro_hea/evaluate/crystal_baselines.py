"""Crystals with few labels, and with one latent in place of two, on the same held-out crystals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from pyro_hea.evaluate.crystal_structures import polymorph_pairs, shares, with_known_prototype
from pyro_hea.evaluate.crystal_targets import features_of, numbers, scores, trees, unbounded
from pyro_hea.evaluate.one_latent import OneLatentVAE, decode_one_latent, fit_one_latent
from pyro_hea.posterior.marginals import marginals

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.crystal_vae import CrystalVAE
    from pyro_hea.materials.crystals import CrystalDataset
    from pyro_hea.posterior.crystal_ensemble import CrystalEnsemble

FEW = 300
"""Labels of each target that are left."""


def one_latent(ensemble: CrystalEnsemble, train: CrystalDataset, seed: int) -> OneLatentVAE:
    """A VAE with one latent, of the widths of an ensemble and trained on the same crystals."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = OneLatentVAE(ensemble.spec, ensemble.model.tables)
    return fit_one_latent(model, ensemble.inputs(train, labels=False), seed)


@torch.no_grad()
def latent_of(
    model: OneLatentVAE, ensemble: CrystalEnsemble, data: CrystalDataset
) -> NDArray[np.float64]:
    """Centres of the one latent, (N, d)."""
    inputs = ensemble.inputs(data, labels=False)
    return np.asarray(model.posterior(inputs)[0].double())


def one_latent_measures(
    model: OneLatentVAE, ensemble: CrystalEnsemble, test: CrystalDataset, most: int, seed: int
) -> dict[str, dict[str, float]]:
    """Reconstruction and swaps of a VAE with one latent.

    In a swap the first half of its coordinates is of one polymorph and the second of the other, as
    wide as the two latents are.
    """
    some = with_known_prototype(ensemble, test, most, seed)
    several, pairs = polymorph_pairs(ensemble, test, most, seed)
    own, z = (
        torch.tensor(latent_of(model, ensemble, data), dtype=torch.float32)
        for data in (some, several)
    )
    half = model.dim // 2
    swapped = torch.cat([z[pairs[:, 0], :half], z[pairs[:, 1], half:]], -1)
    s, kind = (ensemble.inputs(d, labels=False).formula_type for d in (some, several))
    made = decode_one_latent(model, ensemble, own, s)
    mixed = decode_one_latent(model, ensemble, swapped, kind[pairs[:, 0]])
    return {
        "reconstruction": shares(made, some.crystals),
        "swaps": shares(mixed, [several.crystals[i] for i in pairs[:, 1]]),
    }


def with_few_labels(data: CrystalDataset, n: int, seed: int) -> CrystalDataset:
    """The same crystals, with the labels of some of them only, drawn anew for each target."""
    rng, targets = np.random.default_rng(seed), data.targets.copy()
    for name in targets:
        known = np.flatnonzero(targets[name].notna())
        targets.loc[targets.index[rng.permutation(known)[n:]], name] = np.nan
    return data.with_targets(targets)


def few_labels(
    vae: CrystalVAE,
    one: OneLatentVAE,
    train: CrystalDataset,
    test: CrystalDataset,
    seed: int,
    n: int = FEW,
) -> dict[str, dict[str, float]]:
    """R² of each number with few labels: the model, and baselines with the same labels.

    `no unlabelled` is the model without the crystals that have no label; `one latent` are trees on
    the latent of a VAE with one latent, which was trained on all crystals; `trees` read features.
    The heads are trained before all else and stay as they are, so that of the rest of the training
    one step or epoch is enough here.

    Parameters
    ----------
    vae : CrystalVAE
        Whose spec is taken, and whose vocabulary the one latent has.
    one : OneLatentVAE
    train, test : CrystalDataset
        Without a chemical system in common.
    seed : int
    n : int
        Labels of each target.
    """
    few = with_few_labels(train, n, seed)
    spec = vae.spec.with_(training__epochs=1, structure__prior__steps=1)
    labelled = few.take(few.targets[list(spec.target_names)].notna().any(axis=1).to_numpy())
    most = max(len(crystal.counts) for crystal in labelled.crystals)
    test = test.take([len(crystal.counts) <= most for crystal in test.crystals])
    answers = {}
    for label, crystals in (("model", few), ("no unlabelled", labelled)):
        fitted = type(vae)(spec).fit(crystals, seed=seed, progress=False)
        answers[label] = marginals(
            fitted.ensemble.model, fitted.ensemble.inputs(test, labels=False)
        )
    z, z_new = (latent_of(one, vae.ensemble, data) for data in (train, test))
    found = {}
    for target, there, past, here, y in numbers(vae, few, test):
        row: dict[str, float] = {"n": int(here.sum()), "labels": int(there.sum())}
        for label, of in answers.items():
            median = of[target.name].quantiles([0.5]).double().numpy()[0]
            predicted = unbounded(target, median[here])
            row[label] = scores(y, predicted)["R2"]
        for label, x, new in (
            ("one latent", z, z_new),
            ("trees", features_of(train), features_of(test)),
        ):
            row[label] = scores(y, trees(x[there], past, seed).predict(new[here]))["R2"]
        found[target.name] = row
    return found
