"""Commands that measure the model by fixed protocols."""

from __future__ import annotations

import importlib
from pathlib import Path

from pyro_hea.cli.group import main, on_interrupt
from pyro_hea.cli.options import (
    device_option,
    jobs_option,
    quiet_option,
    read_spec,
    results_option,
    seeds_option,
    show,
    spec_option,
)

PROTOCOLS = {
    "published": (10, "The published split: trained on its labelled and unlabelled parts."),
    "random": (2, "Five random folds of all labelled alloys, beside the baselines."),
    "grouped": (3, "Five folds that keep sets of elements together, beside the baselines."),
    "budget": (3, "Few labels, the other alloys unlabelled: the published test part."),
    "experts": (20, "Few labels under a flat prior and under those of experts."),
    "semisupervised": (20, "Few labels and a growing share of the other alloys, unlabelled."),
    "intervals": (2, "Intervals of numbers: five folds of the labels, 35 or 60 labels alone."),
    "calibration": (3, "Simulation-based calibration: ranks of the truth among the draws."),
    "disentanglement": (5, "How much of the label, and of families of elements, is in the latent."),
    "design": (5, "What a judge that never met the model says of its designs."),
    "crystals": (3, "Crystals of chemical systems that were held out, beside trees and templates."),
    "vibrations": (1, "Crystals designed, relaxed by CHGNet, and their phonons."),
    "separable": (5, "Latents in which clusters lie apart: scores, draws and edits, held out."),
    "unseen": (1, "Elements that no training alloy holds, left out in turn, beside baselines."),
    "sources": (1, "Element sets and sources left out: all sources beside the published table."),
    "charts": (5, "Manifolds whose topology and minima are known, learnt by atlases."),
    "disorder": (20, "Partition functions of disorder beside what is exact, and a trap."),
    "rediscovery": (1, "How often designs come near alloys of element sets that were held out."),
    "campaign": (4, "Single-phase alloys found by picking, making and learning, round by round."),
    "ablation": (1, "The default model with one setting changed at a time, on inner folds."),
    "speed": (1, "Time and memory of commands, training and answers, and how they grow."),
}
"""Each with its number of seeds and what it measures."""


@main.group()
def benchmark() -> None:
    """Measure the default model by fixed protocols.

    Each prints its tables and writes numbers (JSON), tables (Markdown) and a figure (PNG) into a
    folder. Finished units of work are kept in its subfolder `cache` and are not run again.
    """


def _protocol(name: str, seeds: int, about: str) -> None:
    @benchmark.command(name, help=about)
    @seeds_option(seeds)
    @results_option
    @jobs_option
    @spec_option
    @device_option
    @quiet_option
    def command(
        seeds: int, out: Path, jobs: int, spec: Path | None, device: str, quiet: bool
    ) -> None:
        from pyro_hea.evaluate import Runner
        from pyro_hea.executors import local_processes
        from pyro_hea.spec import ModelSpec

        protocol = getattr(importlib.import_module("pyro_hea.evaluate.benchmark"), name)
        measured = read_spec(spec) or ModelSpec()
        kept = f"what is finished is in {out / 'cache'}. The same command continues"
        with on_interrupt(kept), local_processes(jobs) as executor:
            runner = Runner(measured, out / "cache", device, executor, not quiet)
            result = protocol(runner, seeds)
        result.write(out)
        for title, table in result.tables.items():
            show(title, table)


for _name, (_seeds, _about) in PROTOCOLS.items():
    _protocol(_name, _seeds, _about)
