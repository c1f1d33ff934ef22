"""Calibration of the heads by log loss on labels held out."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from torch import Tensor

from pyro_hea.inference import held_out
from pyro_hea.posterior.marginals import marginals
from pyro_hea.program.sites import ContinuousSite

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from pyro_hea.inference import HeldOut, Measurements
    from pyro_hea.materials.alloys.dataset import AlloyBatch
    from pyro_hea.program.sites import Site
    from pyro_hea.program.targets import TargetModel

Loss: TypeAlias = "Callable[[Site], Tensor]"

PRIOR_SD = 0.5
"""Standard deviation of the normal prior of the logarithm of a factor, and of c, around 0."""

_LOG_BOUND = 3.0
"""Bound of the absolute value of a logarithm, or of c."""

_TAIL_BOUND = 1.9
"""Bound of the weight of tails, see `Tails`: from 2 on the exponential of such a number has no
mean."""

_LEAST_SHARE = 0.25
"""Least share of the squared distances of labels that is left after the correction."""


def calibrate(
    model: TargetModel,
    data: AlloyBatch,
    validation: AlloyBatch | None,
    measurements: Mapping[str, Measurements] | None = None,
) -> None:
    """Fit the declared calibrations of a trained model, in place, by log loss on labels held out.

    A label that no member was trained on is scored by the mixture of all members. A label of a
    number that some members were trained on is scored by the same mixture, moved to the mean of
    the other members and with their standard deviation. Reports of one alloy count as one label,
    since what the model gets wrong of it is in all of them. The label is moved towards that mean by
    as much as the mean of all members is expected to be closer to the truth. A temperature
    (Guo et al., ICML 2017) has a log-normal prior around 1, so that a few labels move it little;
    so have a and b of a beta calibration, whose c is normal around 0. A target without labels held
    out stays as it is.

    Parameters
    ----------
    model : TargetModel
        In evaluation mode.
    data : AlloyBatch
        Training data; by `parts`, some labels of numbers were held out from each member.
    validation : AlloyBatch, optional
        Alloys that no member was trained on.
    measurements : mapping of str to Measurements, optional
        Every report of the numbers that have conditions.
    """
    for target in model.targets:
        site = model.site(target.name)
        parts = held_out(
            model, target.name, data, validation, (measurements or {}).get(target.name)
        )
        if site.calibration is not None and parts:
            losses = [_mixture_loss(model, target.name, part) for part in parts]
            weights = torch.cat([part.weights for part in parts])
            site.calibration.copy_(_fit_calibration(site, losses, weights))


def _mixture_loss(model: TargetModel, name: str, part: HeldOut) -> Loss:
    """Negative log probability of labels by the mixture of the members, (N,), for any site."""
    alloys, members, weights = part
    own, log_weight, outputs, parents = marginals(model, alloys, [name])[name]
    log_weight, outputs = log_weight.double(), outputs.double()
    evidence = model.report_evidence(name, alloys)
    if evidence is None:
        y = alloys.targets[name].double()
        if isinstance(own, ContinuousSite):
            outputs, y = _as_if_held_out(own, outputs, y, members, weights)

    def loss(site: Site) -> Tensor:
        if evidence is None or isinstance(site, ContinuousSite):
            log_q = -site.log_loss(outputs, y, parents)
        else:
            log_q = (site.log_classes(outputs, parents) + evidence.double()).logsumexp(-1)
        return np.log(model.members) - (log_q + log_weight).logsumexp((0, 1))

    return loss


def _as_if_held_out(
    site: ContinuousSite, outputs: Tensor, y: Tensor, members: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor]:
    """Outputs (B, K, N, outputs) as of members that were not trained on the labels, and labels.

    `members` (K, N) says which were not. The mean of n of K members has 1/n - 1/K of their variance
    more than the mean of all, so the squared distances of labels are reduced by that on average.
    """
    unseen, number = members.unsqueeze(-1), len(members)
    count = unseen.sum(0)
    theirs = torch.where(unseen, outputs, 0.0).sum(1, keepdim=True) / count
    centre = outputs[..., :1] + (theirs - outputs.mean(1, keepdim=True))[..., :1]
    distance = site.encode(y)[..., 0] - theirs[..., 0]
    spread = outputs[..., 0].var(1, correction=0, keepdim=True)
    more = spread * (number / count[:, 0] - 1) / max(number - 1, 1)
    left = (1 - (weights * more).sum() / (weights * distance.square()).sum()).clamp_min(
        _LEAST_SHARE
    )
    y = site.natural(theirs[..., 0] + left.sqrt() * distance)
    return torch.cat([centre, torch.where(unseen, outputs, theirs)[..., 1:]], -1), y


def _fit_calibration(site: Site, losses: list[Loss], weights: Tensor) -> Tensor:
    """The calibration with the least weighted sum of log loss and negative log prior."""
    from scipy.optimize import minimize  # takes long to import

    assert site.calibration is not None
    exact = deepcopy(site).double()
    device, is_number = site.calibration.device, isinstance(site, ContinuousSite)
    logarithms = len(site.calibration) if is_number else 2  # but for c of a beta calibration

    def calibration(raw: Tensor) -> Tensor:
        return torch.cat([raw[:logarithms].exp(), raw[logarithms:]])

    def objective(at: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        raw = torch.tensor(at, device=device, requires_grad=True)
        exact.calibration = calibration(raw)
        total = weights @ torch.cat([loss(exact) for loss in losses])
        total = total + raw.square().sum() / 2 / PRIOR_SD**2
        (gradient,) = torch.autograd.grad(total, raw)
        return total.item(), gradient.cpu().numpy()

    start = np.zeros(len(site.calibration))
    bounds = [(-_LOG_BOUND, _LOG_BOUND)] * len(start)
    if is_number:
        bounds[1:] = [(-_LOG_BOUND, np.log(_TAIL_BOUND))] * (len(start) - 1)
    best = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return calibration(torch.tensor(best))
