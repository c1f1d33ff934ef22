"""Correction of what heads say by what it was worth on labels held out."""

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
    from collections.abc import Callable

    from numpy.typing import NDArray

    from pyro_hea.alloys.dataset import AlloyBatch
    from pyro_hea.inference import HeldOut
    from pyro_hea.program.sites import Site
    from pyro_hea.program.targets import TargetModel

Loss: TypeAlias = "Callable[[Site], Tensor]"

PULL = 0.5
"""Standard deviation of the normal prior of the logarithm of a factor, and of c, around 0."""

_FURTHEST = 3.0
"""Of a logarithm, or of c, from 0."""

_HEAVIEST = 1.9
"""Weight of tails, see `Tails`: from 2 on the exponential of such a number has no mean."""

_NEAREST = 0.25
"""Share of the squared distances of labels that is never taken for the members' own."""


def calibrate(model: TargetModel, data: AlloyBatch, validation: AlloyBatch | None) -> None:
    """Fit the declared calibrations of a trained model, in place, by log loss on labels held out.

    A label that no member was trained on is judged by the mixture of all. One that some were
    trained on, of a number, is judged by that mixture with its centre where the others have
    theirs, and their scatter: how far the members differ counts once. It is taken to be nearer
    to that centre than it is, by what the mean of all members is nearer to the truth. A temperature
    (Guo et al., ICML 2017) has a log-normal prior around 1, so that a handful of labels moves it
    little; so have a and b of a beta calibration, whose c is normal around 0. A target without
    such labels keeps what it has.

    Parameters
    ----------
    model : TargetModel
        In evaluation mode.
    data : AlloyBatch
        What it was trained on; by `parts`, some labels of numbers were held out from each member.
    validation : AlloyBatch, optional
        What no member was trained on.
    """
    for target in model.targets:
        site = model.site(target.name)
        parts = held_out(model, target.name, data, validation)
        if site.calibration is not None and parts:
            losses = [_mixture_loss(model, target.name, part) for part in parts]
            site.calibration.copy_(_fitted(site, losses))


def _mixture_loss(model: TargetModel, name: str, part: HeldOut) -> Loss:
    """-log q of labels by the mixture of the members, (N,), for any site."""
    alloys, members = part
    own, log_weight, outputs, parents = marginals(model, alloys, [name])[name]
    log_weight, outputs = log_weight.double(), outputs.double()
    evidence = model.of_reports(name, alloys)
    if evidence is None:
        y = alloys.targets[name].double()
        if isinstance(own, ContinuousSite):
            outputs, y = _as_unseen(own, outputs, members, y)

    def loss(site: Site) -> Tensor:
        if evidence is None or isinstance(site, ContinuousSite):
            log_q = -site.nats(outputs, y, parents)
        else:
            log_q = (site.log_classes(outputs, parents) + evidence.double()).logsumexp(-1)
        return np.log(model.members) - (log_q + log_weight).logsumexp((0, 1))

    return loss


def _as_unseen(
    site: ContinuousSite, outputs: Tensor, members: Tensor, y: Tensor
) -> tuple[Tensor, Tensor]:
    """Outputs (B, K, N, outputs) around those of the members (K, N) that may judge, and labels.

    The mean of n of K members has 1/n - 1/K of their variance more than that of all. The squares
    of the distances of labels from it are less by that on average, and all shrink alike.
    """
    may, number = members.unsqueeze(-1), len(members)
    judges = may.sum(0)
    theirs = torch.where(may, outputs, 0.0).sum(1, keepdim=True) / judges
    centre = outputs[..., :1] + (theirs - outputs.mean(1, keepdim=True))[..., :1]
    away = site.encode(y)[..., 0] - theirs[..., 0]
    spread = outputs[..., 0].var(1, correction=0, keepdim=True)
    more = spread * (number / judges[:, 0] - 1) / max(number - 1, 1)
    left = (1 - more.sum() / away.square().sum()).clamp_min(_NEAREST)
    y = site.natural(theirs[..., 0] + left.sqrt() * away)
    return torch.cat([centre, torch.where(may, outputs, theirs)[..., 1:]], -1), y


def _fitted(site: Site, losses: list[Loss]) -> Tensor:
    """The calibration with the least loss and pull."""
    from scipy.optimize import minimize  # takes long to import

    assert site.calibration is not None
    exact = deepcopy(site).double()
    device = site.calibration.device

    def objective(at: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        raw = torch.tensor(at, device=device, requires_grad=True)
        exact.calibration = torch.cat([raw[:2].exp(), raw[2:]])
        total = torch.cat([loss(exact) for loss in losses]).sum() + raw.square().sum() / 2 / PULL**2
        (gradient,) = torch.autograd.grad(total, raw)
        return total.item(), gradient.cpu().numpy()

    start = np.zeros(len(site.calibration))
    bounds = [(-_FURTHEST, _FURTHEST)] * len(start)
    if isinstance(site, ContinuousSite):
        bounds[1:] = [(-_FURTHEST, np.log(_HEAVIEST))] * (len(start) - 1)
    best = torch.tensor(minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds).x)
    return torch.cat([best[:2].exp(), best[2:]])
