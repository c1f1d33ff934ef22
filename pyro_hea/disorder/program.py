"""The inverse variational autoencoder: the guide makes configurations, the model reads them.

Karcz, Messina, Kawasaki and Bourasseau, arXiv:2408.14928, in the words of Pyro::

    guide:  y ~ Bernoulli(1/2) of M bits        model:  x ~ ideal solution
            x ~ R(x | y)                                factor(-E(x) / kT)
                                                        y ~ Q(y | x)

The ELBO, E[log P0 - E/kT + log Q - log p(y) - log R], is a lower bound of the logarithm of
Z = Σ_x P0(x) exp(-E(x) / kT). Up to M = 10, y is summed over exactly and needs no Q.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, cast

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.distributions import TorchDistribution
from pyro.poutine.util import prune_subsample_sites
from torch import Tensor, nn
from torch.distributions import constraints
from torch.nn.functional import one_hot

from pyro_hea.disorder.generators import Generator, MixtureGenerator
from pyro_hea.program.networks import MLP

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyro_hea.disorder.ideal import IdealSolution
    from pyro_hea.disorder.surrogate import Surrogate

MOST_BITS = 10
"""Bits of y up to which it is summed exactly."""


class _Occupations(TorchDistribution):
    """Configurations (K, S, N), by a function that draws them and one of their log probability."""

    has_enumerate_support = False

    def __init__(
        self,
        shape: tuple[int, int, int],
        draw: Callable[[], Tensor],
        log_prob: Callable[[Tensor], Tensor],
    ) -> None:
        self._draw, self._log_prob = draw, log_prob
        super().__init__(torch.Size(shape[:2]), torch.Size(shape[2:]), validate_args=False)

    @property
    def arg_constraints(self) -> dict[str, Any]:
        return {}

    @property
    def support(self) -> Any:
        return constraints.independent(constraints.nonnegative_integer, 1)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with torch.no_grad():
            return self._draw()

    def log_prob(self, value: Tensor) -> Tensor:
        return self._log_prob(value)

    def expand(self, batch_shape: Any, _instance: Any = None) -> _Occupations:
        return self


class InverseVAE(nn.Module):
    """Model and guide of configurations at K temperatures, side by side.

    Parameters
    ----------
    generator : Generator
        R, with one member for each temperature.
    energy : Surrogate
        What stands for the engine.
    beta : Tensor, shape (K,)
        1 / kT in 1/eV.
    """

    def __init__(self, generator: Generator, energy: Surrogate, beta: Tensor) -> None:
        super().__init__()
        self.generator = generator
        self.ideal: IdealSolution = generator.ideal
        self.beta: Tensor
        self.register_buffer("beta", beta.float())
        self.coldness = 1.0  # share of beta that is in force, raised while training
        self.reader: MLP | None = None
        if isinstance(generator, MixtureGenerator) and generator.bits > MOST_BITS:
            width = self.ideal.sites * len(self.ideal.species)
            self.reader = MLP(generator.members, (width, 64, generator.bits))
        self.take_energy(energy)

    def take_energy(self, energy: Surrogate) -> None:
        """Let another surrogate stand for the engine."""
        constant, field, coupling = energy.quadratic()
        species, size = len(self.ideal.species), field.size
        # the energy of the ideal solution is taken off, so that single precision suffices
        mean = torch.tensor(self.ideal.fractions).expand(self.ideal.sites, species).reshape(-1)
        self.field = torch.tensor(field.reshape(size))
        self.coupling = torch.tensor(coupling.reshape(size, size))
        self.shift = float(constant + mean @ (self.field + 0.5 * self.coupling @ mean))
        self._constant = constant

    def energies(self, x: Tensor) -> Tensor:
        """Energies of configurations (K, S, N) in eV, less `shift`, (K, S)."""
        hot = one_hot(x, len(self.ideal.species)).flatten(-2)
        kind = self.generator.prior.dtype
        hot, field, coupling = hot.to(kind), self.field.to(kind), self.coupling.to(kind)
        return ((field + 0.5 * hot @ coupling) * hot).sum(-1) + (self._constant - self.shift)

    def log_ideal(self, x: Tensor) -> Tensor:
        """Log probability of configurations in the ideal solution, (K, S)."""
        if self.ideal.fixed:
            return self.generator.prior.new_full(x.shape[:-1], -self.ideal.entropy)
        return self.generator.prior[x].sum(-1)

    def _plates(self, n: int) -> ExitStack:
        stack = ExitStack()
        stack.enter_context(pyro.plate("temperatures", self.generator.members, dim=-2))
        stack.enter_context(pyro.plate("draws", n, dim=-1))
        return stack

    def guide(self, n: int) -> None:
        """Make n configurations at each temperature."""
        generator = self.generator
        shape = (generator.members, n, self.ideal.sites)
        with self._plates(n):
            if self.reader is None:
                made = _Occupations(shape, lambda: generator.draw(n), generator.log_prob)
            else:
                assert isinstance(generator, MixtureGenerator)
                bits = torch.full((*shape[:2], generator.bits), 0.5)
                y = 2 * pyro.sample("y", dist.Bernoulli(bits).to_event(1)) - 1
                made = _Occupations(
                    shape,
                    lambda: generator.draw_given(y),
                    lambda x: generator.log_prob_given(x, y),
                )
            pyro.sample("x", made)

    def model(self, n: int) -> None:
        """Read n configurations at each temperature."""
        shape = (self.generator.members, n, self.ideal.sites)
        with self._plates(n):
            x = pyro.sample("x", _Occupations(shape, lambda: self.ideal_draws(n), self.log_ideal))
            beta = self.coldness * self.beta[:, None].to(self.generator.prior.dtype)
            pyro.factor("boltzmann", -beta * self.energies(x))
            if self.reader is not None:
                hot = one_hot(x, len(self.ideal.species)).flatten(-2).to(beta.dtype)
                pyro.sample("y", dist.Bernoulli(logits=self.reader(hot)).to_event(1))

    def ideal_draws(self, n: int) -> Tensor:
        """Configurations of the ideal solution, (K, n, N)."""
        uniform = torch.rand(self.generator.members, n, self.ideal.sites)
        if self.ideal.fixed:
            ordered = torch.repeat_interleave(torch.tensor(self.ideal.counts))
            return ordered[uniform.argsort(-1)]
        edges = torch.tensor(self.ideal.fractions).cumsum(0)[:-1].float()
        return torch.bucketize(uniform, edges)


def log_weights(vae: InverseVAE, n: int) -> tuple[Tensor, Tensor, Tensor]:
    """Trace guide and model on n draws at each temperature.

    Returns
    -------
    x : Tensor, shape (K, n, N)
    log_made, log_read : Tensor, shape (K, n)
        Log densities of guide and model; the mean of exp(log_read - log_made) is Z, whatever the
        networks, times exp(beta * `InverseVAE.shift`).
    """
    made = poutine.trace(vae.guide).get_trace(n)
    read = poutine.trace(poutine.replay(vae.model, trace=made)).get_trace(n)
    x = cast("Tensor", made.nodes["x"]["value"])
    return x, _log_prob(made), _log_prob(read)


def _log_prob(trace: poutine.Trace) -> Tensor:
    """Sum over the sites of a trace, (K, n)."""
    trace = prune_subsample_sites(trace)  # plates are sites too
    trace.compute_log_prob()
    sites = [site for site in trace.nodes.values() if site["type"] == "sample"]
    return torch.stack([site["log_prob"] for site in sites]).sum(0)


def negative_elbo(vae: InverseVAE, n: int) -> tuple[Tensor, Tensor]:
    """A loss whose gradient is that of the negative ELBO, and the ELBO of each temperature, (K,).

    The gradient is by the score function, each draw with the mean of the others for a baseline
    (Mnih and Rezende, Variational inference for Monte Carlo objectives, 2016).
    """
    _, made, read = log_weights(vae, n)
    bound = (read - made).detach()
    centred = (bound - bound.mean(-1, keepdim=True)) * (n / (n - 1))
    return -(centred * made + read).mean(-1).sum(), bound.mean(-1)
