"""From a budget of energies to two independent estimates: learn, generate, pay, compare."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from pyro_hea.devices import check_torch_settings, seeded, unvalidated
from pyro_hea.disorder.annealing import Annealing
from pyro_hea.disorder.estimates import Estimate
from pyro_hea.disorder.features import PairFeatures
from pyro_hea.disorder.final_draws import FinalDraws, Quantities
from pyro_hea.disorder.generators import Generator, LocalGenerator, MixtureGenerator
from pyro_hea.disorder.pools import Pool, generated_pool, missed_share, weights_as_made
from pyro_hea.disorder.program import InverseVAE, negative_elbo
from pyro_hea.disorder.surrogate import Surrogate, fit_surrogate
from pyro_hea.disorder.variants import Variant, variants
from pyro_hea.errors import DataError, EngineError, excerpt

if TYPE_CHECKING:
    from pyro_hea.disorder.energies import Energies
    from pyro_hea.disorder.ideal import IdealSolution
    from pyro_hea.disorder.sites import Sites

_LARGEST_SHELL = 20
"""Sites up to which they are drawn independently given y; more are drawn one after the other."""

_FEWEST = 20
"""Energies that a run needs at least."""

_FEWEST_CHECKED = 15
"""Energies of the second estimate, below which its spread says little."""

_MOST_CHECKED = 100
"""The same, above which more would be better spent on the first."""

_ENOUGH_LEARNT = 410
_LEARNT_PER_COUNT = 12
"""Energies above which more are not learnt from, in all and for each count of the surrogate."""

_MOST_BEFORE = 500
"""Energies of the first estimate, after which it is seen which temperatures need a bridge."""

MOST_MISSED = 0.03
"""Share of the ensemble that the generator may hardly make."""

_HARD = 0.5
"""K-hat above which a temperature needs a bridge from the surrogate to the engine."""


@dataclass(frozen=True)
class SamplerSettings:
    """How long is trained and how much is drawn; none of it costs an energy.

    Attributes
    ----------
    bits : int
        Of y, where sites are independent given y.
    steps : int
        Of the training at the first surrogate; a third as many after each further batch.
    draws : int
        In each step, at each temperature.
    rate : float
        Learning rate at the start.
    pool : int
        Fresh draws of the generator at each temperature.
    chains, sweeps : int
        Of the annealing, by which the second estimate is made.
    neighbours : int
        That a site is drawn by, where sites are drawn one after the other.
    """

    bits: int = 8
    steps: int = 600
    draws: int = 256
    rate: float = 5e-3
    pool: int = 10_000
    chains: int = 1000
    sweeps: int = 200
    neighbours: int = 24

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            whole = name == "rate" or isinstance(value, Integral)
            if not isinstance(value, Real) or not whole or value <= 0:
                what = "a number" if name == "rate" else "a whole number"
                raise DataError(f"{name}={value!r} is not allowed; it is {what} above 0")

    @classmethod
    def of(cls, sites: int) -> SamplerSettings:
        """What suits so many sites."""
        if sites <= _LARGEST_SHELL:
            return cls()
        return cls(steps=500, draws=64, pool=1000, chains=300, sweeps=1000)


def sampler_for(sites: Sites, sampler: SamplerSettings | None) -> SamplerSettings:
    """The settings that were given, or else what suits so many sites.

    Raises
    ------
    DataError
    """
    if not isinstance(sampler, SamplerSettings | None):
        raise DataError(
            f"sampler={excerpt(sampler)} is not allowed; write SamplerSettings(steps=300), of "
            "pyro_hea.disorder"
        )
    return sampler or SamplerSettings.of(len(sites))


def check_budget(budget: int, seed: int, name: str = "") -> None:
    """Refuse a budget that is too small, and a seed that is none.

    Raises
    ------
    EngineError, DataError
    """
    if not isinstance(budget, Integral):
        raise EngineError(
            f"{name or 'budget'}={budget!r} is not allowed; it is a whole number of energies"
        )
    if budget < _FEWEST:
        of = f" ({name})" if name else ""
        raise EngineError(
            f"a budget of {budget} energies is too small{of}: give at least {_FEWEST}"
        )
    if not isinstance(seed, Integral) or seed < 0:
        raise DataError(f"seed={seed!r} is not allowed; a seed is a whole number, 0 or more")


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a run found.

    Attributes
    ----------
    first, second : Estimate
        From the generator's draws, and from draws that never met it.
    pool, annealed : Pool
        Behind the two.
    missed : ndarray, shape (K,)
        Share of the ensemble that the generator hardly makes; see `missed_share`.
    surrogate : Surrogate
        The one that the draws were made by.
    learnt, drawn, checked : (ndarray of int, ndarray)
        Configurations that were paid for, (S, N), with their energies in eV: to learn from, for
        the first estimate and for the second.
    history : ndarray, shape (T, K)
        ELBO of each step, in nats relative to the ideal solution.
    """

    first: Estimate
    second: Estimate
    pool: Pool
    annealed: Pool
    missed: NDArray[np.float64]
    surrogate: Surrogate
    learnt: tuple[NDArray[np.int8], NDArray[np.float64]]
    drawn: tuple[NDArray[np.int8], NDArray[np.float64]]
    checked: tuple[NDArray[np.int8], NDArray[np.float64]]
    history: NDArray[np.float64]


def make_generator(
    sites: Sites, ideal: IdealSolution, members: int, sampler: SamplerSettings
) -> Generator:
    """The generator that suits so many sites."""
    if len(sites) <= _LARGEST_SHELL:
        return MixtureGenerator(members, ideal, sampler.bits)
    around = torch.tensor(sites.neighbours(sampler.neighbours))
    return LocalGenerator(members, ideal, around)


def train(
    vae: InverseVAE,
    steps: int,
    sampler: SamplerSettings,
    *,
    anneal: bool,
    say: Callable[[str], None],
) -> NDArray[np.float64]:
    """Maximise the ELBO; beta is raised over the first half where it is annealed.

    Returns
    -------
    ndarray, shape (steps, K)
        The ELBO, in nats relative to the ideal solution.
    """
    optimiser = torch.optim.Adam(vae.parameters(), lr=sampler.rate)
    history = []
    with unvalidated():
        for step in range(steps):
            vae.coldness = min(1.0, 2 * (step + 1) / steps) if anneal else 1.0
            for group in optimiser.param_groups:
                group["lr"] = sampler.rate * min(1.0, 2 * (1 - step / steps))
            loss, bound = negative_elbo(vae, sampler.draws)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(vae.parameters(), 10.0 * vae.generator.members)
            optimiser.step()
            history.append(bound - vae.coldness * vae.beta * vae.shift)
            if step % 50 == 0:
                say(f"training {step}/{steps}")
    return torch.stack(history).numpy() if history else np.zeros((0, len(vae.beta)))


def ladder(beta: NDArray[np.float64]) -> NDArray[np.float64]:
    """The betas, and hotter ones where they are few: what one leaves out a hotter one makes.

    Examples
    --------
    >>> ladder(np.array([4.0])).tolist()
    [4.0, 1.0, 2.0, 3.0]
    """
    if len(beta) >= 4:
        return beta
    between = beta.max() * np.arange(1, 4) / 4
    return np.concatenate([beta, between])[:4]


@torch.inference_mode(False)
def run(
    energies: Energies,
    ideal: IdealSolution,
    beta: NDArray[np.float64],
    quantities: Quantities,
    *,
    seed: int,
    sampler: SamplerSettings,
    say: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """Spend the budget of energies.

    Two fifths are learnt from, but at most 12 for each count of the surrogate; a tenth, of at
    least 15 and at most 100, is for the second estimate, the rest for the first. Where half of
    that, or 500, show temperatures of a k-hat above 0.5, what is left is for bridges from the
    surrogate to the engine at these, a quarter of it for those of the second estimate.

    Raises
    ------
    EngineError
        For a budget too small to learn from.
    TorchSettingsError
        For another default dtype or device of torch.
    """
    check_torch_settings()
    budget = energies.left
    check_budget(budget, seed)
    rng = np.random.default_rng(seed)
    with seeded(seed):
        trainer = _Learner(energies, ideal, beta, sampler, rng, say)
        most = max(_ENOUGH_LEARNT, _LEARNT_PER_COUNT * len(trainer.features.names))
        share = min(1.0, most / (0.41 * budget))
        trainer.learn([round(share * part * budget) for part in (0.25, 0.08, 0.08)])
        surrogate = trainer.surrogate
        say("fresh draws")
        pool = trainer.pool(sampler.pool)
        annealing = Annealing(surrogate, ideal, beta, sampler.chains, sampler.sweeps, rng)
        annealed = annealing.from_ideal()
        missed = trainer.missed(pool, annealed)
        good = (pool.k_hat <= _HARD) & (missed <= MOST_MISSED)
        if good.any() and not good.all():
            say("annealing what is made badly")
            pool = annealing.from_hotter(pool, good)
            missed = np.where(good | (beta < beta[good].min()), missed, missed[good].max())

    final = FinalDraws(energies, ideal, beta, quantities, surrogate, rng)
    most = min(round(0.1 * budget), _MOST_CHECKED)
    most = min(max(most, _FEWEST_CHECKED), energies.left // 2)
    say("energies of the second estimate")
    checked = final.direct(annealed, final.candidates(annealed, most), most)
    say("energies of the first estimate")
    candidates = final.candidates(pool, energies.left)
    drawn = final.direct(pool, candidates, min(energies.left // 2, _MOST_BEFORE))
    hard = drawn.estimate.k_hat > _HARD
    if hard.any():
        steps = final.steps(pool, drawn, hard)
        say("from the surrogate to the engine, for the second estimate")
        checked = final.bridged(annealed, checked, steps, energies.left // 4)
        say("from the surrogate to the engine, for the first estimate")
        drawn = final.bridged(pool, drawn, steps, energies.left)
    else:
        drawn = final.direct(pool, candidates, energies.left)
    return Outcome(
        drawn.estimate,
        checked.estimate,
        pool,
        annealed,
        missed,
        surrogate,
        trainer.known,
        (drawn.occupations, drawn.energies),
        (checked.occupations, checked.energies),
        np.concatenate(trainer.history)[:, : len(beta)],
    )


@dataclass(eq=False)
class _Learner:
    """Surrogate and generator that learn from each other's energies, batch by batch."""

    energies: Energies
    ideal: IdealSolution
    beta: NDArray[np.float64]
    sampler: SamplerSettings
    rng: np.random.Generator
    say: Callable[[str], None]

    def __post_init__(self) -> None:
        self.features = PairFeatures(self.energies.sites, self.ideal.species, apart=True)
        empty = np.zeros((0, self.ideal.sites), np.int8)
        self.known = (empty, np.zeros(0))
        self.history: list[NDArray[np.float64]] = []
        self.symmetry: list[Variant] = []

    def learn(self, batches: list[int]) -> None:
        """Pay for each batch in turn: of the ideal solution first, then of what was generated."""
        rungs = ladder(self.beta)
        for batch, size in enumerate(batches):
            self.say(f"energies to learn from, batch {batch + 1} of {len(batches)}")
            self._pay(
                self.ideal.sample(20 * size, self.rng) if batch == 0 else self._made(size), size
            )
            self.surrogate = fit_surrogate(self.features, *self.known)
            if batch == 0:
                made_by = make_generator(self.energies.sites, self.ideal, len(rungs), self.sampler)
                self.vae = InverseVAE(made_by, self.surrogate, torch.tensor(rungs))
            self.vae.take_energy(self.surrogate)
            steps = self.sampler.steps if batch == 0 else self.sampler.steps // 3
            self.history.append(
                train(self.vae, steps, self.sampler, anneal=batch == 0, say=self.say)
            )

    def _pay(self, drawn: NDArray[np.int8], most: int) -> None:
        drawn = drawn[: self.energies.within_budget(drawn, most)]
        values = self.energies(drawn)
        known = np.isfinite(values)
        self.known = (
            np.concatenate([self.known[0], drawn[known]]),
            np.concatenate([self.known[1], values[known]]),
        )

    def pool(self, n: int) -> Pool:
        """Weighted draws of the generator at the temperatures that were asked for."""
        if self.ideal.sites > _LARGEST_SHELL:
            self.symmetry = variants(self.energies.sites, self.ideal, self.surrogate, self.rng)
        return self._pool(n, self.symmetry)

    def missed(self, pool: Pool, annealed: Pool) -> NDArray[np.float64]:
        """Share of the ensembles that the generator hardly makes, by the annealed draws, (K,)."""
        if self.vae.reader is not None:  # how probable a draw is, y summed out, is not known
            return np.zeros(len(self.beta))
        as_made = weights_as_made(self.vae, annealed, self.symmetry)
        return missed_share(pool.log_weight, as_made, annealed.log_weight)

    def _pool(self, n: int, symmetry: list[Variant]) -> Pool:
        pool = generated_pool(self.vae, self.surrogate, n, symmetry)
        return Pool(*(part[: len(self.beta)] for part in vars(pool).values()))

    def _made(self, size: int) -> NDArray[np.int8]:
        """Configurations to learn from, for which one of several equivalents will do."""
        pool = self._pool(min(20 * size, self.sampler.pool), [])
        made = pool.resample(20 * size, self.rng).reshape(-1, self.ideal.sites)
        return self.rng.permutation(made)[: 20 * size]
