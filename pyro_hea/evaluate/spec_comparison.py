"""Specs compared by what they say of alloys that they were not trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from pyro_hea.errors import DataError, SpecError
from pyro_hea.evaluate.folds import assign_folds
from pyro_hea.evaluate.predictive_density import composition_density, label_density
from pyro_hea.executors import run_tasks
from pyro_hea.posterior.psis import K_HAT_LIMIT
from pyro_hea.posterior.traces import COMPOSITION
from pyro_hea.spec import Categorical, Continuous, Hurdle, ModelSpec, Multinomial, Ordinal
from pyro_hea.vae import DisentangledVAE

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from numpy.typing import NDArray

    from pyro_hea.materials.alloys.dataset import AlloyDataset
    from pyro_hea.posterior import Ensemble
    from pyro_hea.spec import Target

    Floats = NDArray[np.float64]

_DRAWS = 400
"""Of each member, behind the evidence of a composition."""


@dataclass(frozen=True, eq=False, repr=False)
class SpecComparison:
    """What several specs say of held-out alloys.

    Attributes
    ----------
    table : DataFrame
        By what is predicted (each target, and "composition") and by spec, the best first, the
        columns of `arviz.compare` 0.2x: `elpd_loo`, the sum over the held-out alloys of the log
        predictive density in nats (from folds, whatever the column's name says); `elpd_diff`, what
        it is below the best, and `dse`, the standard error of that from the differences alloy by
        alloy; `weight` (stacking), `se`, and `warning` where a k-hat is above 0.7. `p_loo` is NaN:
        folds count no parameters. `plots.comparison_panels` draws the table.
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
    executor: Executor | None = None,
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
    executor : concurrent.futures.Executor, optional
        What fits the specs, each fold of each spec on its own, as Dask's
        ``client.get_executor()``; by default this process.

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
    fold_of = assign_folds(data, targets, folds, seed=seed)
    tasks = {
        (fold, name): partial(
            _densities,
            spec,
            data.take(fold_of != fold),
            data.take(fold_of == fold),
            targets=[target.name for target in targets],
            draws=draws if compositions else None,
            seed=seed,
            device=device,
        )
        for fold in range(folds)
        for name, spec in specs.items()
    }
    done: dict[tuple[int, str], _Densities] = {}
    with tqdm(total=len(tasks), disable=not progress, desc="fits", unit="fit") as bar:
        for unit, found in run_tasks(tasks.items(), executor):
            done[unit] = found
            bar.update()
    parts: list[pd.DataFrame] = []
    k_hats: list[pd.DataFrame] = []
    left_out: list[str] = []
    for fold in range(folds):
        of_fold = {name: done[fold, name] for name in specs}
        left_out += of_fold[next(iter(specs))].left_out
        for target in targets:
            columns = {name: d.labels[target.name] for name, d in of_fold.items()}
            parts.append(_rows(target.name, fold, pd.DataFrame(columns)))
        measured = {n: d.compositions for n, d in of_fold.items() if d.compositions is not None}
        if measured:
            densities = pd.DataFrame({name: table["density"] for name, table in measured.items()})
            parts.append(_rows(COMPOSITION, fold, densities))
            k_hats.append(pd.DataFrame({n: table["k_hat"] for n, table in measured.items()}))
    pointwise = pd.concat(parts).sort_index(level="about", sort_remaining=False, kind="stable")
    k_hat = pd.concat(k_hats) if k_hats else pd.DataFrame(columns=list(specs))
    return SpecComparison(_table(pointwise, k_hat, list(specs)), pointwise, k_hat, tuple(left_out))


@dataclass(frozen=True, eq=False)
class _Densities:
    """What a spec, fitted to a fold's training part, says of its test part.

    Attributes
    ----------
    labels : dict of target to Series
    compositions : DataFrame or None
    left_out : list of str
        Alloys with an element that the training part lacks.
    """

    labels: dict[str, pd.Series]
    compositions: pd.DataFrame | None
    left_out: list[str]


def _densities(
    spec: ModelSpec,
    train: AlloyDataset,
    test: AlloyDataset,
    *,
    targets: list[str],
    draws: int | None,
    seed: int,
    device: str,
) -> _Densities:
    ensemble = DisentangledVAE(spec).fit(train, seed=seed, device=device, progress=False).ensemble
    known = _known(test, ensemble)
    some = test.take(known)
    return _Densities(
        {target: label_density(ensemble, some, target) for target in targets},
        None if draws is None else composition_density(ensemble, some, draws, seed),
        test.take(~known).formulas,
    )


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


def _known(alloys: AlloyDataset, ensemble: Ensemble) -> NDArray[np.bool_]:
    """Alloys all of whose elements the ensemble was trained on, whatever its spec."""
    foreign = [element for element in alloys.elements if element not in ensemble.elements]
    return ~(alloys.fractions[foreign] > 0).any(axis=1).to_numpy()


def _rows(about: str, fold: int, densities: pd.DataFrame) -> pd.DataFrame:
    densities.insert(0, "fold", fold)
    return pd.concat({about: densities}, names=["about", "formula"])


def _table(pointwise: pd.DataFrame, k_hat: pd.DataFrame, specs: list[str]) -> pd.DataFrame:
    tables = {}
    for about in dict.fromkeys(pointwise.index.get_level_values("about")):
        rows = pointwise.loc[about]
        doubtful = k_hat > K_HAT_LIMIT if about == COMPOSITION else k_hat.iloc[:0] > K_HAT_LIMIT
        tables[about] = _compare(rows[specs]).assign(warning=doubtful.any(), scale="log")
    return pd.concat(tables, names=["about", "spec"])


def _compare(densities: pd.DataFrame) -> pd.DataFrame:
    """Log predictive densities of alloys (N, specs) in the columns of `arviz.compare` 0.2x.

    ArviZ 1 names and rounds them in another way. The weights are those of stacking (Yao et al.,
    Bayesian Analysis 13 (2018) 917): the mixture with the greatest log density.
    """
    from scipy.optimize import LinearConstraint, minimize  # takes long to import

    ranked = densities[densities.sum().sort_values(ascending=False, kind="stable").index]
    number, specs = ranked.shape
    difference = ranked.iloc[:, [0]].to_numpy() - ranked
    likelihood = np.exp(ranked.sub(ranked.max(axis=1), axis=0).to_numpy())
    best = minimize(
        lambda w: -np.log(likelihood @ w).sum(),
        np.full(specs, 1 / specs),
        jac=lambda w: -(likelihood / (likelihood @ w)[:, None]).sum(0),
        method="SLSQP",
        bounds=[(0.0, 1.0)] * specs,
        constraints=LinearConstraint(np.ones(specs), 1.0, 1.0),
    )
    return pd.DataFrame(
        {
            "rank": np.arange(specs),
            "elpd_loo": ranked.sum(),
            "p_loo": np.nan,
            "elpd_diff": difference.sum(),
            "weight": best.x,
            "se": (number * ranked.var(ddof=0)) ** 0.5,
            "dse": (number * difference.var(ddof=0)) ** 0.5,
        }
    )
