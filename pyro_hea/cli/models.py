"""Commands that train and that predict."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pyro_hea.cli.group import main, on_interrupt
from pyro_hea.cli.options import (
    alloys_options,
    condition_option,
    device_option,
    formula_column_option,
    load_model,
    model_option,
    quiet_option,
    read_data,
    read_spec,
    seed_option,
    show,
    spec_option,
    table_out_option,
    write_table,
)

if TYPE_CHECKING:
    from pyro_hea.materials.alloys.dataset import AlloyDataset
    from pyro_hea.spec import ModelSpec

_FOLDS, _FEW = 5, 200
"""Folds of the cross-validation that `train` does unasked, and the alloys up to which it does."""


@main.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to write.")
@spec_option
@seed_option
@device_option
@quiet_option
def run(out: Path, spec: Path | None, seed: int, device: str, quiet: bool) -> None:
    """Train on the embedded alloys, judge the test part, design, and write a report."""
    from pyro_hea.evaluate.study import run_study, tables

    study = run_study(out, spec=read_spec(spec), seed=seed, device=device, progress=not quiet)
    for title, table in tables(study).items():
        show(title, table.head(15))
    click.echo(f"\nWritten to {out}: open {out / 'report.html'} in a browser.")


@main.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the model.")
@click.option("--resume", is_flag=True, help="Continue an interrupted training in --out.")
@click.option(
    "--folds",
    type=click.IntRange(0),
    help=f"Folds of the cross-validation; by default {_FOLDS} of a table of at most {_FEW} alloys, "
    "else 0, which is none.",
)
@spec_option
@alloys_options
@seed_option
@device_option
@quiet_option
def train(
    data: Path,
    out: Path,
    resume: bool,
    folds: int | None,
    spec: Path | None,
    seed: int,
    device: str,
    quiet: bool,
    **how: Any,
) -> None:
    """Train on a table of alloys (CSV, Excel or Parquet) and save the model.

    Without --spec every measured column is a target; a table says what each column is used as.
    Cross-validation says how good the model is on alloys like these: it trains once more a fold.
    """
    from pyro_hea.inference import checkpoint
    from pyro_hea.vae import DisentangledVAE

    alloys, declared = read_data(data, read_spec(spec), **how)
    click.echo(repr(alloys))
    vae = DisentangledVAE(declared)
    try:
        vae.fit(
            alloys,
            seed=seed,
            device=device,
            progress=not quiet,
            checkpoint=out,
            resume=resume,
        )
    except KeyboardInterrupt:
        saved = checkpoint.exists(out, "training")
        what = (
            f"the state is in {out}. Continue with --resume"
            if saved
            else "nothing was saved yet. Start again"
        )
        click.echo(f"\nInterrupted; {what}.", err=True)
        sys.exit(130)
    vae.save(out)
    checkpoint.remove(out, "training")
    click.echo(f"Saved {vae!r} to {out}")
    if folds is None:
        folds = _FOLDS if len(alloys) <= _FEW else 0
    if folds:
        with on_interrupt(f"the model in {out} is complete, its cross-validation is not"):
            _show_how_good(vae.spec, alloys, folds, seed, device, quiet)
    else:
        click.echo("How good it is on alloys like these: train with --folds 5.")


def _show_how_good(
    spec: ModelSpec, alloys: AlloyDataset, folds: int, seed: int, device: str, quiet: bool
) -> None:
    from pyro_hea.errors import DataError
    from pyro_hea.evaluate import cross_validate

    try:
        result = cross_validate(spec, alloys, folds, seed=seed, device=device, progress=not quiet)
    except DataError as error:
        click.echo(f"There is no cross-validation: {error}.")
    else:
        show(f"Held-out alloys, {folds} random folds", result.summary())


@main.command()
@click.argument("formulas", nargs=-1)
@model_option
@click.option("--table", type=click.Path(path_type=Path), help="Take the alloys of a table.")
@click.option(
    "--targets", help="Without --model: what the default model predicts, joined by commas."
)
@condition_option
@table_out_option
@formula_column_option
def predict(
    formulas: tuple[str, ...],
    model: Path | None,
    table: Path | None,
    targets: str | None,
    conditions: dict[str, Any] | None,
    out: Path | None,
    formula_column: str,
) -> None:
    """Predict the targets of alloys."""
    from pyro_hea.materials.alloys.composition import fraction_table
    from pyro_hea.materials.alloys.dataset import read_formulas

    if bool(formulas) == (table is not None):
        raise click.UsageError("give formulas, or a table with --table, and not both")
    # What is no formula is refused before a default model is trained.
    alloys = fraction_table(read_formulas(table, formula_column) if table else list(formulas))
    if targets is not None and model is not None:
        raise click.UsageError("--targets and --model exclude each other: a model has its targets")
    vae = load_model(model, [name.strip() for name in (targets or "").split(",") if name.strip()])
    predictions = vae.predict(alloys, conditions=conditions).reset_index()
    if out is None:
        show("Predictions (of a number the median), their spread and 94 % interval", predictions)
    else:
        write_table(predictions, out)
        click.echo(f"Wrote {len(predictions)} predictions to {out}")
