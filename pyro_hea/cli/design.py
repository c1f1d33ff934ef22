"""Commands that propose alloys."""

from __future__ import annotations

from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from pyro_hea.cli.group import main, on_interrupt
from pyro_hea.cli.options import (
    formula_column_option,
    jobs_option,
    load_model,
    model_option,
    quiet_option,
    seed_option,
    show,
    table_out_option,
    together,
    write_table,
)
from pyro_hea.cli.questions import (
    question_options,
    read_constraints,
    read_requests,
    read_wishes,
    request_options,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from pyro_hea.design import Constraint, DesignResult, Wish
    from pyro_hea.spec import ModelSpec
    from pyro_hea.vae import DisentangledVAE

design_options = together(
    model_option,
    question_options,
    request_options,
    table_out_option,
    click.option(
        "--report", "page", type=click.Path(path_type=Path), help="HTML page to write as well."
    ),
)
min_fraction_option = click.option(
    "--min-fraction",
    default=0.01,
    show_default=True,
    help="Smallest fraction of an element.",
)


@main.command()
@design_options
@click.option("-n", "count", default=20, show_default=True, help="Number of designs.")
@click.option("--batch", type=int, help="Keep this many designs, diverse and informative.")
@click.option(
    "--agreement", default=5.0, show_default=True, help="Exponent κ of the predicted probability."
)
@click.option("--step", default=0.005, show_default=True, help="Fractions are multiples of it.")
@min_fraction_option
@click.option(
    "--method",
    type=click.Choice(["importance", "nuts", "svi"]),
    default="importance",
    show_default=True,
    help="How designs are sampled.",
)
@seed_option
def design(
    model: Path | None,
    count: int,
    batch: int | None,
    agreement: float,
    step: float,
    min_fraction: float,
    method: Literal["importance", "nuts", "svi"],
    out: Path | None,
    page: Path | None,
    seed: int,
    **options: Any,
) -> None:
    """Propose new alloys with given properties, under constraints."""
    wishes, constraints = read_wishes(options["target"]), read_constraints(options)
    vae = load_model(model, wishes)
    how = {
        "step": step,
        "min_fraction": min_fraction,
        "agreement": agreement,
        **read_requests(options),
    }
    result = vae.design(wishes, constraints, n=count, method=method, seed=seed, **how)
    result = result if batch is None else result.batch(batch)
    _write_result(result, vae, wishes, constraints, out, page)


@main.command()
@design_options
@click.option("--step", default=0.05, show_default=True, help="Step of the grid, as a fraction.")
@min_fraction_option
@click.option("--candidates", type=click.Path(path_type=Path), help="Table to rank, not a grid.")
@formula_column_option
@click.option("-n", "count", default=20, show_default=True, help="Number of alloys returned.")
@click.option("--limit", default=50_000_000, show_default=True, help="Largest grid.")
@click.option(
    "--exhaustive", is_flag=True, help="Predict every composition with the whole ensemble."
)
@jobs_option
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path),
    help="Folder in which progress is kept; the same command goes on from there.",
)
@seed_option
@quiet_option
def screen(
    model: Path | None,
    step: float,
    min_fraction: float,
    candidates: Path | None,
    formula_column: str,
    count: int,
    limit: int,
    exhaustive: bool,
    jobs: int,
    checkpoint: Path | None,
    out: Path | None,
    page: Path | None,
    seed: int,
    quiet: bool,
    **options: Any,
) -> None:
    """Rank every composition of a grid, or the alloys of a table."""
    from pyro_hea.executors import local_processes
    from pyro_hea.materials.alloys.dataset import read_formulas

    wishes, constraints = read_wishes(options["target"]), read_constraints(options)
    alloys = None if candidates is None else read_formulas(candidates, formula_column)
    vae = load_model(model, wishes)
    with ExitStack() as stack:
        if checkpoint is not None:
            kept = f"the progress is in {checkpoint}. The same command continues"
            stack.enter_context(on_interrupt(kept))
        executor = stack.enter_context(local_processes(jobs))
        result = vae.screen(
            wishes,
            constraints,
            candidates=alloys,
            step=step,
            min_fraction=min_fraction,
            n=count,
            limit=limit,
            exhaustive=exhaustive,
            seed=seed,
            progress=not quiet,
            executor=executor,
            checkpoint=checkpoint,
            **read_requests(options),
        )
    _write_result(result, vae, wishes, constraints, out, page)


def _write_result(
    result: DesignResult,
    vae: DisentangledVAE,
    wishes: Mapping[str, Wish],
    constraints: Sequence[Constraint],
    out: Path | None,
    page: Path | None,
) -> None:
    if out is None:
        show(repr(result), shown(result, vae.spec, wishes))
    else:
        write_table(result.table, out)
        click.echo(f"Wrote {result!r} to {out}")
    if page is not None:
        from pyro_hea.evaluate.report import write_designs

        write_designs(page, result, wishes=wishes, constraints=constraints)
        click.echo(f"Wrote {page}: open it in a browser.")


def shown(result: DesignResult, spec: ModelSpec, wishes: Mapping[str, Wish]) -> pd.DataFrame:
    """What of the designs is printed: the answer, then the prediction of each target."""
    of_target = {
        name: [name, f"{name}_low", f"{name}_high"] for name in (*wishes, *spec.target_names)
    }
    together = ["all_wishes"] if len(wishes) > 1 else []
    columns = [*together, *chain(*of_target.values()), "novelty", "known"]
    table = result.table[[column for column in columns if column in result.table]]
    bounds = {f"{n}_{end}": end for n in spec.target_names for end in ("low", "high")}
    return (
        table.assign(known=table["known"].map(_short_formula)).rename(columns=bounds).reset_index()
    )


def _short_formula(formula: str) -> str:
    """A formula in at.% with two digits an element."""
    from pyro_hea.materials.alloys.amounts import parse_composition

    parts = parse_composition(formula).items()
    return "".join(f"{element}{float(f'{100 * share:.2g}'):g}" for element, share in parts)
