"""Commands that measure the model by fixed protocols."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pyro_hea.cli.group import main
from pyro_hea.cli.options import (
    cache_option,
    device_option,
    json_option,
    quiet_option,
    read_spec,
    seeds_option,
    show,
    spec_option,
    write_json,
)


@main.group()
def benchmark() -> None:
    """Measure the default model by fixed protocols."""


@benchmark.command()
@seeds_option(5)
@json_option
@spec_option
@device_option
@quiet_option
def published(seeds: int, path: Path | None, spec: Path | None, device: str, quiet: bool) -> None:
    """The published split: trained on its labelled and unlabelled parts, tested once."""
    import pandas as pd

    from pyro_hea.evaluate import published_benchmark

    result = published_benchmark(read_spec(spec), seeds=seeds, device=device, progress=not quiet)
    if path is not None:
        write_json(path, result)
    summary = pd.DataFrame(result["summary"]).T.rename_axis(index="measure").reset_index()
    show(f"Published split, mean over {seeds} seeds", summary)


def _cross_validation(kind: Literal["random", "grouped"], doc: str) -> None:
    @benchmark.command(kind, help=doc)
    @seeds_option(1)
    @json_option
    @cache_option
    @spec_option
    @device_option
    @quiet_option
    def command(
        seeds: int,
        path: Path | None,
        cache: Path | None,
        spec: Path | None,
        device: str,
        quiet: bool,
    ) -> None:
        import pandas as pd

        from pyro_hea.evaluate import cross_validation

        result = cross_validation(
            kind,
            read_spec(spec),
            seeds=seeds,
            cache=cache,
            device=device,
            progress=not quiet,
        )
        if path is not None:
            write_json(path, result)
        for part in ("all", "≥ 4 elements"):
            rows = {model: table[part] for model, table in result["models"].items()}
            table = pd.DataFrame(rows).T.rename_axis(index="model").reset_index()
            show(f"{kind} folds, {part}, mean over {seeds} seeds", table)


_cross_validation("random", "Five random folds of all labelled alloys, beside the baselines.")
_cross_validation("grouped", "Five folds that keep sets of elements together.")


@benchmark.command()
@seeds_option(5)
@json_option
@cache_option
@spec_option
@device_option
@quiet_option
def budget(
    seeds: int, path: Path | None, cache: Path | None, spec: Path | None, device: str, quiet: bool
) -> None:
    """Few labels, the other alloys unlabelled: AUC on the published test part."""
    import pandas as pd

    from pyro_hea.evaluate import label_budget

    result = label_budget(
        read_spec(spec), seeds=seeds, cache=cache, device=device, progress=not quiet
    )
    if path is not None:
        write_json(path, result)
    rows = {
        count: {model: score["auc"] for model, score in found["models"].items()}
        for count, found in result["budgets"].items()
    }
    table = pd.DataFrame(rows).T.rename_axis(index="labels").reset_index()
    show(f"AUC by number of labels, mean over {seeds} seeds", table)
