"""Specs compared by what they say of alloys that they were not trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyro.distributions as dist
import torch
from pyro import poutine
from torch.nn.functional import one_hot
from tqdm.auto import tqdm

from pyro_hea.alloys.dataset import encode_values
from pyro_hea.devices import seeded, unvalidated
from pyro_hea.errors import DataError, SpecError
from pyro_hea.posterior import marginals
from pyro_hea.posterior.local_posterior import LocalPosterior
from pyro_hea.posterior.psis import K_HAT_LIMIT, psis
from pyro_hea.posterior.traces import COMPOSITION, vectorized
from pyro_hea.program.sites import ContinuousSite
from pyro_hea.spec import Categorical, Continuous, Hurdle, ModelSpec, Multinomial, Ordinal
from pyro_hea.vae import DisentangledVAE

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from pyro_hea.alloys.dataset import AlloyBatch, AlloyDataset
    from pyro_hea.posterior import Ensemble
    from pyro_hea.program.model import AlloyModel
    from pyro_hea.spec import Target

    Floats = NDArray[np.float64]

_DRAWS = 400
"""Of each member, behind the evidence of a composition."""

_PARTS, _DEGREES = 3, 6.0
"""Of the proposal: guide, fitted t-distribution with so many degrees of freedom, and prior."""

_ROWS = 25_000
"""Draws scored at a time, over members and alloys: what stays in a processor's cache."""


@dataclass(frozen=True, eq=False, repr=False)
class SpecComparison:
    """What several specs say of held-out alloys.

    Attributes
    ----------
    table : DataFrame
        By what is predicted (each target, and "composition") and by spec, the best first, the
        columns of `az.compare`: `elpd_loo`, the sum over the held-out alloys of the log predictive
        density in nats (from folds, whatever the column's name says); `elpd_diff`, what it is
        below the best, and `dse`, the standard error of that from the same alloys' differences;
        `weight` (stacking), `se`, and `warning` where a k-hat is above 0.7. `p_loo` is NaN: folds
        count no parameters. `az.plot_compare(table.loc["composition"].copy())` draws a part.
    pointwise : DataFrame
        The log predictive densities themselves, in nats, by what is predicted and by formula, with
        the `fold` and one column for each spec.
    k_hat : DataFrame
        By formula and spec, how far the importance weights behind a composition's density can be
        trusted (PSIS); empty where compositions are not compared.
    left_out : tuple of str
        Formulas with an element that a training part lacks: none of the specs was asked.
    """

    table: pd.DataFrame
    pointwise: pd.DataFrame
    k_hat: pd.DataFrame
    left_out: tuple[str, ...]

    def __repr__(self) -> str:
        shown = self.table[["elpd_loo", "elpd_diff", "dse", "weight"]].round(2)
        return f"SpecComparison({len(self.left_out)} alloys left out)\n{shown}"

    def _repr_html_(self) -> str:
        return f"<p>{len(self.left_out)} alloys left out</p>{self.table.round(2).to_html()}"


def compare_specs(
    specs: Mapping[str, ModelSpec],
    data: AlloyDataset,
    *,
    folds: int = 5,
    seed: int = 0,
    compositions: bool = True,
    draws: int = _DRAWS,
    device: str = "auto",
    progress: bool = True,
) -> SpecComparison:
    """Refit each spec on the same folds; measure what it says of the alloys left out.

    Parameters
    ----------
    specs : mapping of str to ModelSpec
        By a name for each. Targets that all of them declare are compared.
    data : AlloyDataset
        Labelled and unlabelled alloys; each is held out once.
    folds : int
    seed : int
        Of the folds, of training and of the draws; the same for every spec.
    compositions : bool
        Whether compositions are compared beside labels. It needs likelihoods that measure
        compositions alike.
    draws : int
        Of targets and latent in each member, behind the density of a composition.
    device : str
        As of `fit`.
    progress : bool
        Show a progress bar.

    Returns
    -------
    SpecComparison

    Raises
    ------
    DataError
        For fewer than two specs or folds.
    SpecError
        Where no target is common to all specs, where they declare it differently, or where their
        likelihoods are probabilities of other things.

    Notes
    -----
    A label y of an alloy with features φ has the density log mean_k q_k(y | φ) over the members k,
    the other targets summed out; a number's is per unit of the target, at the conditions of its
    measurement. A composition x has log mean_k mean_s p_k(x, y_s, z_s) / r_k(y_s, z_s | x) (Burda,
    Grosse and Salakhutdinov, Importance weighted autoencoders, 2016): labels are not shown, and
    in expectation it is a lower bound. Draws are from the guide, from a t-distribution
    fitted to each alloy and from the prior, in equal shares, and r is that mixture: a guide that is
    far from the posterior would else give too little. A hurdle's elements are counted once.

    Standard errors are over the alloys. They do not hold what another seed of the training does,
    which for compositions can be more: repeat with other seeds before a difference is believed.

    PSIS-LOO would mean nothing here, because the weights of the networks are point estimates and
    each alloy has a z of its own: dropping an alloy's likelihood does not undo what it taught.
    """
    _check(specs, folds, compositions)
    targets = _common_targets(specs)
    fold_of = _folds(data, targets, folds, seed)
    parts: list[pd.DataFrame] = []
    k_hats: list[pd.DataFrame] = []
    left_out: list[str] = []
    with tqdm(total=folds * len(specs), disable=not progress, desc="fits", unit="fit") as bar:
        for fold in range(folds):
            train, test = data.take(fold_of != fold), data.take(fold_of == fold)
            fitted = {}
            for name, spec in specs.items():
                vae = DisentangledVAE(spec)
                fitted[name] = vae.fit(train, seed=seed, device=device, progress=False).ensemble
                bar.update()
            known = _known(test, list(fitted.values()))
            left_out += test.take(~known).formulas
            test = test.take(known)
            for target in targets:
                columns = {n: label_density(e, test, target.name) for n, e in fitted.items()}
                parts.append(_rows(target.name, fold, pd.DataFrame(columns)))
            if compositions:
                told = {n: composition_density(e, test, draws, seed) for n, e in fitted.items()}
                densities = pd.DataFrame({n: t["density"] for n, t in told.items()})
                parts.append(_rows(COMPOSITION, fold, densities))
                k_hats.append(pd.DataFrame({n: t["k_hat"] for n, t in told.items()}))
    pointwise = pd.concat(parts).sort_index(level="about", sort_remaining=False, kind="stable")
    k_hat = pd.concat(k_hats) if k_hats else pd.DataFrame(columns=list(specs))
    return SpecComparison(_table(pointwise, k_hat, list(specs)), pointwise, k_hat, tuple(left_out))


def label_density(ensemble: Ensemble, alloys: AlloyDataset, target: str) -> pd.Series:
    """Log of the ensemble's q(y | φ) at the labels that alloys have, by formula, in nats.

    Of a number the density per unit of the target, at the conditions of its measurement.
    """
    alloys = alloys.take(alloys.labels[target].notna().to_numpy())
    labels = encode_values(alloys.labels[target], ensemble.spec.target(target))
    if labels.empty:
        return labels
    batch = ensemble.batch(alloys)
    y = batch.features.new_tensor(labels.to_numpy(float))
    site, log_weight, outputs, parents = marginals(ensemble.model, batch, [target])[target]
    with torch.no_grad():
        if isinstance(site, ContinuousSite):
            branches = site.posterior(outputs, parents).log_prob(y)
        else:
            log_q = site.log_classes(outputs, parents)
            branches = (log_q * one_hot(y.long(), log_q.shape[-1])).sum(-1)
        density = (branches + log_weight).logsumexp((0, 1)) - np.log(ensemble.members)
    return pd.Series(density.double().cpu().numpy(), labels.index)


def composition_density(
    ensemble: Ensemble, alloys: AlloyDataset, draws: int, seed: int
) -> pd.DataFrame:
    """Log p(x) of alloys whose labels are not shown, by formula; see `compare_specs`.

    Returns
    -------
    DataFrame
        `density`, in nats, and `k_hat` of the weights behind it.
    """
    model, batch = _counted_once(ensemble.model), ensemble.batch(alloys, labels=False)
    each = -(-draws // _PARTS)
    step = max(1, _ROWS // (_PARTS * model.members * len(batch)))
    with seeded(seed), unvalidated(), model.cached_flow():
        local = _fitted(model, batch, ensemble.most_probable(batch))
        log_weight = torch.cat(
            [_weighed(model, batch, local, min(step, each - at)) for at in range(0, each, step)]
        ).flatten(0, 1)  # the members too are a mixture with equal shares
    density = log_weight.logsumexp(0) - np.log(len(log_weight))
    with np.errstate(over="ignore"):  # of a share that is then 0
        k_hat = psis(log_weight.cpu().numpy())[1]
    columns = {"density": density.cpu().numpy(), "k_hat": k_hat}
    return pd.DataFrame(columns, alloys.fractions.index)


def _fitted(model: AlloyModel, batch: AlloyBatch, targets: Mapping[str, Tensor]) -> Any:
    """A distribution (K, N) of w, what the decoder sees, fitted to each alloy at given targets."""
    with torch.no_grad():
        guide = _sites(poutine.trace(model.guide).get_trace(batch))
    drawn = {name: site["value"] for name, site in guide.items()}
    shared = {name: v for name, v in drawn.items() if name not in (*targets, "z")}
    steady: Any = copy(model)  # what all alloys share is drawn once, or heights would not compare
    steady.model = poutine.condition(model.model, data=shared)
    local = LocalPosterior.fitted(steady, replace(batch, targets=dict(targets)))
    covariance = (local.root @ local.root.mT).double()
    root = torch.linalg.cholesky(covariance).to(local.loc)
    return dist.MultivariateStudentT(_DEGREES, local.loc, root)


@torch.no_grad()
def _weighed(model: AlloyModel, batch: AlloyBatch, local: Any, each: int) -> Tensor:
    """Log p(x, y, z) - log r(y, z), (S, K, N), of so many draws of each part of the proposal r.

    What all alloys share is drawn from the guide as the posterior that it stands for, and not
    weighed: it was learnt from other alloys.
    """
    targets = model.spec.target_names
    guide = _sites(poutine.trace(vectorized(model.guide, 2 * each)).get_trace(batch))
    drawn = {name: site["value"] for name, site in guide.items()}
    from_local = _over_z(local, guide["z"]["fn"]).sample()
    drawn["z"] = torch.cat([drawn["z"][:each], from_local[each:]])
    shared = {name: v[:each] for name, v in drawn.items() if name not in (*targets, "z")}
    program = poutine.condition(vectorized(model.model, each), data=shared)
    prior = _sites(poutine.trace(program).get_trace(batch))
    values = {name: torch.cat([v, prior[name]["value"]]) for name, v in drawn.items()}

    def scored(part: Any) -> dict[str, Any]:
        program = poutine.condition(vectorized(part, _PARTS * each), data=values)
        return _sites(poutine.trace(program).get_trace(batch))

    p, q = scored(model.model), scored(model.guide)
    of_prior = sum(_log_prob(p[name]) for name in (*targets, "z"))
    of_targets = sum(_log_prob(q[name]) for name in targets)
    of_local = _over_z(local, q["z"]["fn"]).log_prob(values["z"]).double() + of_targets
    of_guide = _log_prob(q["z"]) + of_targets
    parts = torch.broadcast_tensors(of_guide, of_local, of_prior)
    proposal = torch.stack(parts).logsumexp(0) - np.log(_PARTS)
    weight: Tensor = of_prior + _log_prob(p[COMPOSITION]) - proposal
    return weight.expand(len(values["z"]), model.members, len(batch))


def _over_z(local: Any, q: Any) -> Any:
    """A distribution of w taken to z as the guide's is, by the flow where there is one."""
    base = local.expand(q.batch_shape)
    if isinstance(q, dist.TransformedDistribution):
        return dist.TransformedDistribution(base, q.transforms)
    return base


def _sites(trace: Any) -> dict[str, Any]:
    """What a program drew or observed; plates are left out."""
    samples = {n: node for n, node in trace.nodes.items() if node["type"] == "sample"}
    return {n: site for n, site in samples.items() if type(site["fn"]).__name__ != "_Subsample"}


def _log_prob(site: dict[str, Any]) -> Any:
    return site["fn"].log_prob(site["value"]).double()


def _counted_once(model: AlloyModel) -> AlloyModel:
    """The same model with a likelihood that is a probability; its weights are shared."""
    if not isinstance(model.spec.likelihood, Hurdle):
        return model
    model = copy(model)
    model.spec = model.spec.with_(likelihood__presence_count=1)
    return model


def _check(specs: Mapping[str, ModelSpec], folds: int, compositions: bool) -> None:
    if len(specs) < 2:
        raise DataError(f"{len(specs)} spec is no comparison; give at least two, each by a name")
    if folds < 2:
        raise DataError(f"folds={folds} is not allowed; use at least 2")
    (first, spec), *others = specs.items()
    for name, other in others if compositions else []:
        if _measure(other) != _measure(spec):
            raise SpecError(
                f"the likelihoods of '{first}' ({spec.likelihood!r}) and '{name}' "
                f"({other.likelihood!r}) are probabilities of other things, and no difference of "
                "them says which is better. Compare labels alone: compositions=False"
            )


def _measure(spec: ModelSpec) -> Any:
    """What a likelihood is a probability of."""
    likelihood = spec.likelihood
    return likelihood.total_count if isinstance(likelihood, Multinomial | Hurdle) else likelihood


def _common_targets(specs: Mapping[str, ModelSpec]) -> list[Target]:
    (first, spec), *others = specs.items()
    names = [n for n in spec.target_names if all(n in o.target_names for _, o in others)]
    if not names:
        raise SpecError(
            "the specs have no target in common: "
            + "; ".join(f"{name}: {', '.join(s.target_names)}" for name, s in specs.items())
        )
    for target in names:
        for name, other in others:
            mine, theirs = _values(spec.target(target)), _values(other.target(target))
            if mine != theirs:
                raise SpecError(
                    f"'{target}' is {mine} in '{first}' but {theirs} in '{name}': their densities "
                    "cannot be compared; declare it alike"
                )
    return [spec.target(target) for target in names]


def _values(target: Target) -> tuple[str, ...]:
    """What a target's values are."""
    if isinstance(target, Continuous):
        return target.kind, target.unit
    return (target.kind, *target.classes) if isinstance(target, Categorical | Ordinal) else ("0/1",)


def _folds(
    data: AlloyDataset, targets: Sequence[Target], folds: int, seed: int
) -> NDArray[np.intp]:
    """The fold of each alloy; those with the same classes, or any number at all, spread evenly."""
    pattern = np.full(len(data), "", object)
    for target in targets:
        labels = data.labels[target.name]
        told = labels.notna() if isinstance(target, Continuous) else labels
        pattern += "|" + told.astype(str).to_numpy()
    shuffled = np.random.default_rng(seed).permutation(len(data))
    ordered = shuffled[np.argsort(pattern.astype(str)[shuffled], kind="stable")]
    fold = np.empty(len(data), np.intp)
    fold[ordered] = np.arange(len(data)) % folds
    return fold


def _known(alloys: AlloyDataset, ensembles: Sequence[Ensemble]) -> NDArray[np.bool_]:
    """Alloys all of whose elements every ensemble was trained on."""
    common = set.intersection(*(set(ensemble.elements) for ensemble in ensembles))
    foreign = [element for element in alloys.elements if element not in common]
    return ~(alloys.fractions[foreign] > 0).any(axis=1).to_numpy()


def _rows(about: str, fold: int, densities: pd.DataFrame) -> pd.DataFrame:
    densities.insert(0, "fold", fold)
    return pd.concat({about: densities}, names=["about", "formula"])


def _table(pointwise: pd.DataFrame, k_hat: pd.DataFrame, specs: list[str]) -> pd.DataFrame:
    import arviz as az

    tables = {}
    for about in dict.fromkeys(pointwise.index.get_level_values("about")):
        rows = pointwise.loc[about]
        doubtful = k_hat > K_HAT_LIMIT if about == COMPOSITION else k_hat.iloc[:0] > K_HAT_LIMIT
        elpds = {s: _elpd(rows[s].to_numpy(), bool(doubtful[s].any())) for s in specs}
        tables[about] = az.compare(elpds)
    return pd.concat(tables, names=["about", "spec"])


def _elpd(values: Floats, warning: bool) -> Any:
    """Log predictive densities as ArviZ compares them, which asks for the names of PSIS-LOO."""
    import xarray as xr
    from arviz.stats.stats_utils import ELPDData

    entries = {
        "elpd_loo": values.sum(),
        "se": (len(values) * values.var()) ** 0.5,
        "p_loo": np.nan,
        "n_samples": np.nan,
        "n_data_points": len(values),
        "warning": warning,
        "loo_i": xr.DataArray(values, dims="alloy"),
        "scale": "log",
    }
    return ELPDData(data=list(entries.values()), index=list(entries))
