"""What an expert's prior buys where labels are few."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyro_hea.evaluate import expert_priors
from pyro_hea.evaluate.benchmark.label_curves import label_curves
from pyro_hea.evaluate.experts import ALONE, EXPERTS

if TYPE_CHECKING:
    from pyro_hea.evaluate import Runner
    from pyro_hea.evaluate.benchmark.protocol_result import ProtocolResult


def experts(runner: Runner, seeds: int) -> ProtocolResult:
    """Few labels under a flat prior and three of experts: measured on the published test part."""
    found = expert_priors(runner, seeds=seeds)
    return label_curves("experts", found, [*EXPERTS, *ALONE])
