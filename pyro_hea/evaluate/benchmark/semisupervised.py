"""What alloys without a label bring where labels are few."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyro_hea.evaluate.benchmark.label_curves import label_curves
from pyro_hea.evaluate.semisupervised import SHARES, semisupervised_benchmark, share_name

if TYPE_CHECKING:
    from pyro_hea.evaluate import Runner
    from pyro_hea.evaluate.benchmark.protocol_result import ProtocolResult


def semisupervised(runner: Runner, seeds: int) -> ProtocolResult:
    """Few labels and a growing share of the other alloys unlabelled: the published test part."""
    found = semisupervised_benchmark(runner, seeds=seeds)
    return label_curves("semisupervised", found, [share_name(share) for share in SHARES])
