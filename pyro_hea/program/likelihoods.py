"""Distributions of a composition, over fractions on the simplex."""

from __future__ import annotations

from typing import Any, ClassVar, assert_never

import torch
from pyro.distributions import TorchDistribution, constraints
from pyro.ops.provenance import detach_provenance
from torch import Tensor
from torch.nn.functional import logsigmoid, one_hot, pad

from pyro_hea.errors import SpecError
from pyro_hea.spec.likelihood import Dirichlet, Hurdle, Likelihood, Multinomial

_ONE = torch.Size()
"""The shape of a single draw."""

_LARGEST_LOG = 7.0
"""Largest log concentration of a Dirichlet: 1100 for each element determines the fractions to
0.5 at.%, and the rounding error of the log density in single precision is still small."""

_STEP = 0.5
"""Of the trapezoidal rule in log t; its error falls off as exp(-π² / step)."""

_LOG_WEIGHTS = 60.0
"""Range of logits below the largest that the mean of a hurdle tells apart."""


def decoder_outputs(declared: Likelihood, elements: int) -> int:
    """Number of outputs of a decoder for each alloy.

    Parameters
    ----------
    declared : Multinomial, Dirichlet or Hurdle
    elements : int
        Elements E of a composition.

    Raises
    ------
    SpecError
        For a hurdle over more elements than it counts atoms.

    Examples
    --------
    >>> decoder_outputs(Multinomial(), 30), decoder_outputs(Hurdle(), 30)
    (30, 60)
    """
    match declared:
        case Multinomial() | Dirichlet():
            return elements
        case Hurdle():
            _check_total_count(declared.total_count, elements)
            return 2 * elements
        case _:
            assert_never(declared)


def composition_likelihood(declared: Likelihood, outputs: Tensor) -> CompositionDistribution:
    """The distribution with the outputs of a decoder as parameters.

    Parameters
    ----------
    declared : Multinomial, Dirichlet or Hurdle
    outputs : Tensor, shape (..., `decoder_outputs`)
        Any real numbers.

    Examples
    --------
    >>> composition_likelihood(Hurdle(), torch.tensor([9.0, 9.0, -9.0, 0.0, 0.0, 0.0])).typical
    tensor([0.5000, 0.5000, 0.0000])
    """
    match declared:
        case Multinomial():
            return CompositionMultinomial(declared.total_count, outputs)
        case Dirichlet():
            bounded = _LARGEST_LOG * torch.tanh(outputs / _LARGEST_LOG)
            return CompositionDirichlet(declared.smoothing, bounded.exp())
        case Hurdle():
            presence, logits = outputs.chunk(2, -1)
            return CompositionHurdle(
                declared.total_count, presence, logits, declared.presence_count
            )
        case _:
            assert_never(declared)


class CompositionDistribution(TorchDistribution):
    """A distribution of fractions with a typical composition."""

    support = constraints.simplex

    @property
    def typical(self) -> Tensor:
        """The composition that stands for the distribution, (..., E): its mean."""
        return self.mean


class CompositionMultinomial(CompositionDistribution):
    """Fractions of `total_count` atoms that are drawn by element.

    The log probability is the multinomial's at `total_count * fractions`, with the factorials
    continued to fractional counts, as arXiv:2409.06740 uses it.

    Parameters
    ----------
    total_count : int
        Atoms counted; more of them make the likelihood sharper.
    logits : Tensor, shape (..., E)

    Examples
    --------
    >>> d = CompositionMultinomial(2, torch.zeros(2))
    >>> d.log_prob(torch.tensor([0.5, 0.5])).exp()
    tensor(0.5000)
    """

    arg_constraints: ClassVar = {"logits": constraints.real_vector}

    def __init__(self, total_count: int, logits: Tensor, validate_args: bool | None = None) -> None:
        self.total_count = total_count
        self.logits = logits.log_softmax(-1)
        super().__init__(logits.shape[:-1], logits.shape[-1:], validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """Expected fractions, (..., E)."""
        return self.logits.exp()

    def expand(self, batch_shape: Any, _instance: Any = None) -> CompositionMultinomial:
        """The same distribution for a larger batch."""
        if torch.Size(batch_shape) == self.batch_shape:  # which a plate asks for
            return self
        shape = torch.Size(batch_shape) + self.event_shape
        return CompositionMultinomial(self.total_count, self.logits.expand(shape), False)

    def sample(self, sample_shape: Any = _ONE) -> Tensor:
        """Draw fractions that are multiples of 1 / total_count."""
        logits = detach_provenance(self.logits)  # which render_model adds, and torch refuses
        share = logits.double().exp().expand(self._extended_shape(sample_shape))
        counts = _draw_counts(torch.full_like(share[..., 0], self.total_count), share)
        return counts.to(logits) / self.total_count

    def log_prob(self, value: Tensor) -> Tensor:
        """Log probability of fractions, (...,)."""
        return _log_multinomial(self.total_count * value, self.logits)


class CompositionDirichlet(CompositionDistribution):
    """Fractions with a density on the whole simplex.

    A share of the atoms is spread evenly over all elements before an alloy is scored, since the
    density of an alloy without some element is 0 or infinite. The log density is thus that of the
    smoothed fractions, `(1 - smoothing) * fractions + smoothing / E`.

    Parameters
    ----------
    smoothing : float
        The share of the atoms, between 0 and 1.
    concentration : Tensor, shape (..., E)
        Positive; their sum says how sharp the distribution is.

    Examples
    --------
    >>> d = CompositionDirichlet(0.03, torch.tensor([9.9, 9.9, 0.2]))
    >>> d.mean, d.typical
    (tensor([0.4950, 0.4950, 0.0100]), tensor([0.5000, 0.5000, 0.0000]))
    """

    arg_constraints: ClassVar = {"concentration": constraints.independent(constraints.positive, 1)}

    def __init__(
        self, smoothing: float, concentration: Tensor, validate_args: bool | None = None
    ) -> None:
        self.smoothing = smoothing
        self.concentration = concentration
        shape = concentration.shape
        super().__init__(shape[:-1], shape[-1:], validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """Expected smoothed fractions, (..., E)."""
        return self.concentration / self.concentration.sum(-1, keepdim=True)

    @property
    def typical(self) -> Tensor:
        """The centre without the smoothing, (..., E); an element of less than that is absent.

        The centre is the geometric mean, exp E[log x], scaled to sum to 1 (Aitchison, The
        Statistical Analysis of Compositional Data, 1986). An element that is nearly always absent
        has next to nothing in it, where rare draws with much of it would raise the mean.
        """
        centre = torch.digamma(self.concentration).softmax(-1)
        rest = (centre - self.smoothing / self.event_shape[0]).clamp_min(0.0)
        return rest / rest.sum(-1, keepdim=True)

    def expand(self, batch_shape: Any, _instance: Any = None) -> CompositionDirichlet:
        """The same distribution for a larger batch."""
        shape = torch.Size(batch_shape) + self.event_shape
        return CompositionDirichlet(self.smoothing, self.concentration.expand(shape), False)

    def sample(self, sample_shape: Any = _ONE) -> Tensor:
        """Draw smoothed fractions."""
        concentration = detach_provenance(self.concentration)
        alpha = concentration.double().expand(self._extended_shape(sample_shape))
        # The logarithm of a gamma variable of shape alpha, where that itself could round to 0.
        log_gamma = torch.distributions.Gamma(alpha + 1, 1.0).sample().log()
        log_gamma = log_gamma + torch.rand_like(alpha).log() / alpha
        return log_gamma.softmax(-1).to(concentration)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density of the smoothed fractions, (...,)."""
        alpha = self.concentration
        smooth = (1 - self.smoothing) * value + self.smoothing / self.event_shape[0]
        volume = torch.lgamma(alpha).sum(-1) - torch.lgamma(alpha.sum(-1))
        return ((alpha - 1) * smooth.log()).sum(-1) - volume


class CompositionHurdle(CompositionDistribution):
    """Elements that are present or not, then atoms counted among those that are.

    Each element is present or not by itself, on the condition that one is. Each of the k that are
    has one atom; the other `total_count - k` are drawn by element among them. The probabilities of
    all compositions that are multiples of 1 / total_count sum to 1.

    As `total_count` atoms are counted, so may several lists of the elements present be: with a
    `presence_count` above 1 the log probability is that of as many independent lists, all the same,
    and of the atoms. It is never more than the log probability with 1. A draw is made of one list.

    Between those, the factorials are continued to fractional counts. An element is present where
    its fraction is above 0, and one of less than an atom counts as one atom.

    Parameters
    ----------
    total_count : int
        Atoms counted, at least E.
    presence : Tensor, shape (..., E)
        Logits of the presence of each element.
    logits : Tensor, shape (..., E)
        Of the share of each element among those that are present.
    presence_count : int
        How often the list of elements counts.

    Examples
    --------
    >>> d = CompositionHurdle(4, torch.tensor([50.0, 0.0]), torch.zeros(2))
    >>> d.log_prob(torch.tensor([[1.0, 0.0], [0.5, 0.5]])).exp()    # 1/2, and 1/2 of 1/2
    tensor([0.5000, 0.2500])
    """

    arg_constraints: ClassVar = {
        "presence": constraints.real_vector,
        "logits": constraints.real_vector,
    }

    def __init__(
        self,
        total_count: int,
        presence: Tensor,
        logits: Tensor,
        presence_count: int = 1,
        validate_args: bool | None = None,
    ) -> None:
        _check_total_count(total_count, logits.shape[-1])
        self.total_count, self.presence_count = total_count, presence_count
        self.presence, self.logits = torch.broadcast_tensors(presence, logits)
        shape = self.logits.shape
        super().__init__(shape[:-1], shape[-1:], validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """Expected fractions, (..., E), over all sets of elements.

        The share of an element among those present, w_e / Σ w, is the integral over t of
        w_e exp(-t Σ w), whose expectation is a product over the elements. It is taken by the
        trapezoidal rule in log t, which errs by less than 1e-6.
        """
        presence, logits = self.presence.double(), self.logits.double()
        log_present, log_absent = logsigmoid(presence), logsigmoid(-presence)
        log_weight = (logits - logits.amax(-1, keepdim=True)).clamp_min(-_LOG_WEIGHTS)
        atoms = log_present.exp()  # the first of each element
        for log_t in torch.arange(-20.0, _LOG_WEIGHTS + 5, _STEP, dtype=atoms.dtype):
            decay = (log_t + log_weight).exp()
            both = torch.logaddexp(log_absent, log_present - decay)
            present = (log_present - decay - both).exp()
            others = present.sum(-1, keepdim=True) - present
            rest = (self.total_count - 1 - others) * present * decay
            atoms = atoms + _STEP * rest * both.sum(-1, keepdim=True).exp()
        any_present = _log_first(presence).logsumexp(-1, keepdim=True).exp()
        return (atoms / any_present / self.total_count).to(self.logits)

    @property
    def typical(self) -> Tensor:
        """Expected fractions over the elements that are more likely present than not, (..., E).

        Where none is, the likeliest element alone.
        """
        likeliest = one_hot(self.presence.argmax(-1), self.event_shape[0]).bool()
        present = (self.presence > 0) | likeliest
        rest = self.total_count - present.sum(-1, keepdim=True)
        share = _present_logits(present, self.logits).softmax(-1)
        return (present + rest * share) / self.total_count

    def expand(self, batch_shape: Any, _instance: Any = None) -> CompositionHurdle:
        """The same distribution for a larger batch."""
        shape = torch.Size(batch_shape) + self.event_shape
        presence, logits = self.presence.expand(shape), self.logits.expand(shape)
        return CompositionHurdle(self.total_count, presence, logits, self.presence_count, False)

    def sample(self, sample_shape: Any = _ONE) -> Tensor:
        """Draw fractions that are multiples of 1 / total_count."""
        shape = self._extended_shape(sample_shape)
        presence = detach_provenance(self.presence).double().expand(shape)
        logits = detach_provenance(self.logits)
        first = torch.distributions.Categorical(logits=_log_first(presence)).sample()[..., None]
        element = torch.arange(shape[-1], device=first.device)
        later = (element > first) & (torch.rand_like(presence) < presence.sigmoid())
        present = later | (element == first)
        share = _present_logits(present, logits.double()).softmax(-1)
        counts = present + _draw_counts(self.total_count - present.sum(-1), share)
        return counts.to(logits) / self.total_count

    def log_prob(self, value: Tensor) -> Tensor:
        """Log probability of fractions, (...,)."""
        present = value > 0
        of_set = logsigmoid(torch.where(present, self.presence, -self.presence)).sum(-1)
        of_any = _log_first(self.presence).logsumexp(-1)
        # Finite for absent elements too, whose count is 0.
        log_share = self.logits - _present_logits(present, self.logits).logsumexp(-1, keepdim=True)
        rest = (self.total_count * value - 1).clamp_min(0.0)
        return self.presence_count * (of_set - of_any) + _log_multinomial(rest, log_share)


def _check_total_count(total_count: int, elements: int) -> None:
    if total_count < elements:
        raise SpecError(
            f"likelihood.total_count: a hurdle counts an atom of each element that is present, and "
            f"there are {elements} elements but {total_count} atoms; set total_count to {elements} "
            "or more"
        )


def _present_logits(present: Tensor, logits: Tensor) -> Tensor:
    """Logits of the elements that are present, and minus infinity."""
    return logits.masked_fill(~present, -torch.inf)


def _log_first(presence: Tensor) -> Tensor:
    """Log probability that each element is present and none before it, (..., E).

    Their logsumexp is the log probability that any is, exact where that is tiny too.
    """
    none_before = pad(logsigmoid(-presence).cumsum(-1)[..., :-1], (1, 0))
    return logsigmoid(presence) + none_before


def _draw_counts(total: Tensor, share: Tensor) -> Tensor:
    """Draw counts (..., E) that sum to `total` (...,), by shares in double precision.

    One element after the other, each a binomial of the atoms that are left: some steps for all rows
    at once, where drawing atom by atom takes as many as there are atoms.
    """
    rest = share.flip(-1).cumsum(-1).flip(-1)
    odds = (share / rest.clamp_min(torch.finfo(share.dtype).tiny)).clamp(0.0, 1.0)
    left = total.to(share)
    counts = []
    for column in odds[..., :-1].unbind(-1):
        counts.append(torch.binomial(left, column.contiguous()))
        left = left - counts[-1]
    return torch.stack([*counts, left], -1)


def _log_multinomial(counts: Tensor, log_share: Tensor) -> Tensor:
    coefficient = torch.lgamma(counts.sum(-1) + 1) - torch.lgamma(counts + 1).sum(-1)
    return coefficient + (counts * log_share).sum(-1)
