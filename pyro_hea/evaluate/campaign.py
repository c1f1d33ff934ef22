"""A campaign of experiments, played on alloys whose answers are known but held back.

Each round a strategy picks alloys from the pool, learns whether they are single phase, and picks
again. What counts is how many single-phase alloys it has made after so many rounds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy.stats import norm
from sklearn.ensemble import RandomForestClassifier

from pyro_hea.design import diverse, information
from pyro_hea.errors import DataError
from pyro_hea.evaluate.measures.intervals import bootstrap_interval
from pyro_hea.materials.alloys.dataset import AlloyDataset, load_alloys
from pyro_hea.spec import ModelSpec
from pyro_hea.vae import DisentangledVAE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Surrogate = Callable[[AlloyDataset, ModelSpec, int], NDArray[np.float64]]
    Acquisition = Callable[
        [NDArray[np.float64], NDArray[np.float64], int, np.random.Generator], NDArray[np.int_]
    ]

TARGET = "single_phase"

START, ROUNDS, PICKS = 50, 5, 20

_SMALL_TRAINING = {"members": 2, "epochs": 40, "batch_size": 128}
"""Training of a model that is trained anew in every round."""

_TREES = 300


class Strategy(NamedTuple):
    """How a strategy learns and how it picks.

    `surrogate` maps the pool, with the labels so far, a spec and a seed to the probability of a
    single phase by each of its members, (K, N). `acquisition` maps those of the candidates, their
    fractions, the number of picks and a random generator to positions among them.
    """

    surrogate: Surrogate
    acquisition: Acquisition


def affordable(spec: ModelSpec) -> ModelSpec:
    """The same model, small enough to be trained anew in every round."""
    given = spec.to_mapping()
    given["training"] |= _SMALL_TRAINING
    return type(spec).from_mapping(given)


def play_strategy(
    name: str,
    seed: int,
    pool: AlloyDataset | None = None,
    *,
    start: int = START,
    rounds: int = ROUNDS,
    picks: int = PICKS,
    spec: ModelSpec | None = None,
) -> pd.DataFrame:
    """Play the loop of picking, making and learning by one strategy with one seed.

    All strategies of a seed start from the same labels. Compositions of the pool are known from
    the start, as candidates are; only their labels are held back.

    Parameters
    ----------
    name : str
        Out of `STRATEGIES`.
    seed : int
        Of the start and of the models.
    pool : AlloyDataset, optional
        Labelled alloys; by default those of at least four elements.
    start, rounds, picks : int
        Labels to start from, rounds, and alloys made in each.
    spec : ModelSpec, optional
        Of the library's own model, trained anew in each round; the default one, `affordable`.

    Returns
    -------
    DataFrame
        One row per round: `labels` known after it, `hits` among its picks, `found` so far.

    Raises
    ------
    DataError
        For a strategy that does not exist, or a pool too small.
    """
    if name not in STRATEGIES:
        raise DataError(f"there is no strategy '{name}'; allowed: {', '.join(STRATEGIES)}")
    pool = _labelled(pool)
    if len(pool) < start + rounds * picks:
        raise DataError(f"a pool of {len(pool)} alloys is too small for {rounds} x {picks} picks")
    spec = affordable(ModelSpec()) if spec is None else spec
    single = (pool.labels[TARGET] == 1).to_numpy()
    known = np.zeros(len(pool), bool)
    known[np.random.default_rng(seed).choice(len(pool), start, replace=False)] = True
    rows, found = [], 0
    for turn in range(1, rounds + 1):
        data = _with_known_labels(pool, known)
        chosen = _pick(STRATEGIES[name], data, ~known, picks, spec, 100 * seed + turn)
        known[chosen] = True
        hits = int(single[chosen].sum())
        found += hits
        rows.append((seed, name, turn, int(known.sum()), hits, found))
    columns = ["seed", "strategy", "round", "labels", "hits", "found"]
    return pd.DataFrame(rows, columns=pd.Index(columns))


def campaign_summary(table: pd.DataFrame) -> pd.DataFrame:
    """Mean of `found` by strategy and round, with its 95 % bootstrap interval over the seeds."""
    rows = []
    for (strategy, turn), part in table.groupby(["strategy", "round"], sort=False):
        interval = bootstrap_interval(part["found"].to_numpy(float))
        rows.append({"strategy": strategy, "round": turn, **interval})
    return pd.DataFrame(rows)


def _labelled(pool: AlloyDataset | None) -> AlloyDataset:
    if pool is None:
        pool = load_alloys("zeng2024")
        pool = pool.take((pool.number_of_elements >= 4).to_numpy())
    return pool.take(pool.labels[TARGET].notna().to_numpy())


def _with_known_labels(pool: AlloyDataset, known: NDArray[np.bool_]) -> AlloyDataset:
    """The pool with the labels of what is known alone."""
    labels = pool.labels.where(pd.Series(known, pool.labels.index), axis=0)
    return replace(pool, labels=labels, reports=pool.take(known).reports)


def _pick(
    strategy: Strategy,
    data: AlloyDataset,
    candidates: NDArray[np.bool_],
    picks: int,
    spec: ModelSpec,
    seed: int,
) -> NDArray[np.int_]:
    rows = np.flatnonzero(candidates)
    members = strategy.surrogate(data, spec, seed)[:, rows]
    fractions = data.fractions.to_numpy(float)[rows]
    rng = np.random.default_rng(seed)
    return rows[strategy.acquisition(members, fractions, picks, rng)]


def _vae_surrogate(data: AlloyDataset, spec: ModelSpec, seed: int) -> NDArray[np.float64]:
    vae = DisentangledVAE(spec).fit(data, seed=seed, device="cpu", progress=False)
    # Of the pool, whose elements need not all be among those of the labels so far.
    features = torch.tensor(data.features[list(spec.features.columns)].to_numpy())
    return vae.ensemble.head_probabilities(features.float())[TARGET].double().numpy()


def _forest_surrogate(data: AlloyDataset, spec: ModelSpec, seed: int) -> NDArray[np.float64]:
    known = data.labels[TARGET].notna().to_numpy()
    x, y = data.features.to_numpy(), data.labels[TARGET].to_numpy()
    forest = RandomForestClassifier(_TREES, min_samples_leaf=2, random_state=seed)
    forest.fit(x[known], y[known].astype(int))
    return np.array([tree.predict_proba(x)[:, 1] for tree in forest.estimators_])


def _constant_surrogate(data: AlloyDataset, spec: ModelSpec, seed: int) -> NDArray[np.float64]:
    return np.full((1, len(data)), 0.5)


def _random(
    members: NDArray[np.float64],
    fractions: NDArray[np.float64],
    picks: int,
    rng: np.random.Generator,
) -> NDArray[np.int_]:
    return rng.choice(members.shape[1], picks, replace=False)


def _greedy(
    members: NDArray[np.float64],
    fractions: NDArray[np.float64],
    picks: int,
    rng: np.random.Generator,
) -> NDArray[np.int_]:
    return np.argsort(-members.mean(0), kind="stable")[:picks]


def _batch(
    members: NDArray[np.float64],
    fractions: NDArray[np.float64],
    picks: int,
    rng: np.random.Generator,
) -> NDArray[np.int_]:
    """Probable, diverse and informative, as `DesignResult.batch`."""
    return diverse(fractions, members.mean(0) * np.exp(information(members)), picks)


def _upper_confidence_bound(
    members: NDArray[np.float64],
    fractions: NDArray[np.float64],
    picks: int,
    rng: np.random.Generator,
) -> NDArray[np.int_]:
    """Mean and standard deviation over the members (UCB)."""
    return np.argsort(-(members.mean(0) + members.std(0)), kind="stable")[:picks]


def _expected_improvement(
    members: NDArray[np.float64],
    fractions: NDArray[np.float64],
    picks: int,
    rng: np.random.Generator,
) -> NDArray[np.int_]:
    """Over a success, the best that there is, if the members were draws of a normal."""
    mean, sd = members.mean(0), members.std(0) + 1e-9
    z = (mean - 1) / sd
    return np.argsort(-sd * (norm.pdf(z) + z * norm.cdf(z)), kind="stable")[:picks]


STRATEGIES = {
    "batch": Strategy(_vae_surrogate, _batch),
    "greedy": Strategy(_vae_surrogate, _greedy),
    "random": Strategy(_constant_surrogate, _random),
    "forest, greedy": Strategy(_forest_surrogate, _greedy),
    "forest, expected improvement": Strategy(_forest_surrogate, _expected_improvement),
    "forest, upper bound": Strategy(_forest_surrogate, _upper_confidence_bound),
}
"""Those of the library's model first, and what they are compared with."""
