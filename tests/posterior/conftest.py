import numpy as np
import pandas as pd
import pyro.distributions as dist
import pytest
import torch
from pyro.distributions import TorchDistribution, constraints
from small import SMALL, quaternaries

from pyro_hea import AlloyDataset, DisentangledVAE, ModelSpec
from pyro_hea.materials.alloys.composition import fraction_table
from pyro_hea.posterior import Ensemble
from pyro_hea.program.model import AlloyModel

SPEC = SMALL | {
    "features": {"bins": 3},
    "head": {"hidden": [8]},
    "training": SMALL["training"] | {"epochs": 4, "batch_size": 16},
}


@pytest.fixture(scope="session")
def alloys() -> AlloyDataset:
    """Twenty alloys of six elements, fourteen of them labelled."""
    fractions = fraction_table(quaternaries(20, np.random.default_rng(0), most=4))
    labelled = fractions.index[:14]
    value = (fractions.loc[labelled, "Al"] < 0.1).to_numpy(float)
    reports = pd.DataFrame({"formula": labelled, "target": "single_phase", "value": value})
    return AlloyDataset.from_reports(fractions, reports, ["single_phase"])


@pytest.fixture(scope="session")
def vae(alloys) -> DisentangledVAE:
    return DisentangledVAE(ModelSpec.from_mapping(SPEC)).fit(alloys, seed=0, progress=False)


@pytest.fixture(scope="session")
def ensemble(vae):
    return vae.ensemble


class LinearGaussian(TorchDistribution):
    """x ~ N(A z + shift, noise²), in the shape of the composition's likelihood."""

    support = constraints.real_vector

    def __init__(self, mean: torch.Tensor, noise: float) -> None:
        self._normal = dist.Normal(mean, noise).to_event(1)
        super().__init__(mean.shape[:-1], mean.shape[-1:], validate_args=False)

    def expand(self, batch_shape, _instance=None):
        mean = self._normal.mean.expand(*batch_shape, *self.event_shape)
        return LinearGaussian(mean, float(self._normal.stddev.flatten()[0]))

    def sample(self, sample_shape=()):
        return self._normal.sample(torch.Size(sample_shape))

    def log_prob(self, value):
        return self._normal.log_prob(value)


class ConjugateModel(AlloyModel):
    """The program with a decoder that is linear and Gaussian: every posterior is known.

    `off` moves the guide away from the posterior, by standard deviations; `wide` scales it.
    """

    noise, off, wide = 0.3, 0.0, 1.0

    def __init__(self, spec, elements, statistics, members=None):
        super().__init__(spec, elements, statistics, members)
        generator = torch.Generator().manual_seed(1)
        # Orthogonal columns: the posterior is a product, as the guide's is.
        basis = torch.linalg.qr(torch.randn(elements, elements, generator=generator))[0]
        self.register_buffer("basis", basis[:, : spec.latent.dim] * torch.tensor([1.0, 0.4]))
        self.register_buffer("by_class", 0.5 * basis[:, -1])

    def likelihood(self, z, y):
        shift = self.context(y)[..., :1] * self.by_class
        return LinearGaussian(z @ self.basis.mT + shift, self.noise)

    def exact(self, x, y):
        """Mean and standard deviation of z given x (N, E) and y (N,)."""
        precision = 1 + self.basis.square().sum(0) / self.noise**2
        residual = x - y[:, None] * self.by_class
        return residual @ self.basis / self.noise**2 / precision, precision.rsqrt()

    def exact_evidence(self, x, y):
        """Log p(x | y), (N,)."""
        covariance = self.basis @ self.basis.mT + self.noise**2 * torch.eye(len(self.basis)).to(x)
        return dist.MultivariateNormal(y[:, None] * self.by_class, covariance).log_prob(x)

    def latent_posterior(self, fractions, y):
        context = self.context(y)[..., 0]
        residual = fractions - context[..., None] * self.by_class
        precision = 1 + self.basis.square().sum(0) / self.noise**2
        mean = residual @ self.basis / self.noise**2 / precision
        shape = torch.broadcast_shapes(mean.shape, (self.members, *mean.shape[-2:]))
        sd = precision.rsqrt()
        return dist.Normal((mean + self.off * sd).expand(shape), self.wide * sd).to_event(1)

    def latent_mean(self, fractions, y):
        return self.latent_posterior(fractions, y).mean


CONJUGATE = SPEC | {
    "latent": {"dim": 2, "flow": None},
    "training": {
        "distillation": {"trees": 20, "synthetic_alloys": 2000, "steps": 100},
        "members": 1,
    },
}


@pytest.fixture(scope="session")
def conjugate(alloys, ensemble):
    """An ensemble of the conjugate model that knows the same alloys."""
    spec = ModelSpec.from_mapping(CONJUGATE)
    model = ConjugateModel(spec, len(ensemble.elements), ensemble.model.statistics)
    return Ensemble(model.eval().requires_grad_(False), ensemble.elements, ensemble.known, 0)


@pytest.fixture
def broken(conjugate, monkeypatch):
    """The same with a guide that is three standard deviations off and too narrow."""
    monkeypatch.setattr(ConjugateModel, "off", 3.0)
    monkeypatch.setattr(ConjugateModel, "wide", 0.5)
    return conjugate
