"""Commands that train and that predict."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pyro_hea.cli.group import main
from pyro_hea.cli.options import (
    device_option,
    formula_column_option,
    quiet_option,
    read_spec,
    seed_option,
    show,
    spec_option,
)

if TYPE_CHECKING:
    import pandas as pd


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
@spec_option
@formula_column_option
@seed_option
@device_option
@quiet_option
def train(
    data: Path,
    out: Path,
    resume: bool,
    spec: Path | None,
    formula_column: str,
    seed: int,
    device: str,
    quiet: bool,
) -> None:
    """Train on a table of alloys (CSV or Parquet) and save the model."""
    from pyro_hea.alloys.dataset import read_alloys
    from pyro_hea.inference import checkpoint
    from pyro_hea.vae import DisentangledVAE

    declared = read_spec(spec)
    alloys = read_alloys(data, spec=declared, formula_column=formula_column)
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
            f"the state is in {out}. Continue with --resume" if saved else "nothing was saved yet"
        )
        click.echo(f"\nInterrupted; {what}.", err=True)
        sys.exit(130)
    vae.save(out)
    checkpoint.remove(out, "training")
    click.echo(f"Saved {vae!r} to {out}")


@main.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("formulas", nargs=-1)
@click.option(
    "--table", type=click.Path(path_type=Path), help="CSV or Parquet with a column of formulas."
)
@click.option("--out", type=click.Path(path_type=Path), help="CSV to write instead of printing.")
@formula_column_option
def predict(
    model: Path,
    formulas: tuple[str, ...],
    table: Path | None,
    out: Path | None,
    formula_column: str,
) -> None:
    """Predict the targets of alloys with a saved model."""
    from pyro_hea.alloys.dataset import read_formulas
    from pyro_hea.vae import DisentangledVAE

    if bool(formulas) == (table is not None):
        raise click.UsageError("give formulas, or a table with --table, and not both")
    alloys = list(formulas) if table is None else read_formulas(table, formula_column)
    _write_or_show(DisentangledVAE.load(model).predict(alloys).reset_index(), out)


def _write_or_show(table: pd.DataFrame, out: Path | None) -> None:
    if out is None:
        show("Predictions (mean, spread over members, 94 % interval)", table)
        return
    try:
        table.to_csv(out, index=False, float_format="%.6g")
    except OSError as error:
        reason = error.strerror or error
        raise click.ClickException(f"cannot write '{out}': {reason}") from error
    click.echo(f"Wrote {len(table)} predictions to {out}")
