"""Commands of a campaign: suggest alloys, record what was measured, suggest again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pyro_hea.cli.group import main, on_interrupt
from pyro_hea.cli.options import (
    alloys_options,
    quiet_option,
    read_data,
    read_spec,
    seed_option,
    show,
    spec_option,
    table_out_option,
    write_table,
)
from pyro_hea.cli.questions import question_options, read_constraints, read_wishes

_folder = click.argument("folder", type=click.Path(path_type=Path))


@main.group()
def campaign() -> None:
    """Suggest alloys, record what a lab measures, and suggest again."""


@campaign.command()
@_folder
@click.option("--data", type=click.Path(path_type=Path), help="Table of alloys measured so far.")
@spec_option
@alloys_options
@question_options
@seed_option
def init(folder: Path, data: Path | None, spec: Path | None, seed: int, **options: Any) -> None:
    """Start a campaign in FOLDER."""
    from pyro_hea.campaign import Campaign

    if (folder / "campaign.json").exists():
        raise click.ClickException(f"'{folder}' holds a campaign already; name another folder")
    keys = ("joined", "targets", "formula_column", "columns", "unit", "changes")
    wishes, constraints = read_wishes(options["target"]), read_constraints(options)
    alloys, declared = read_data(data, read_spec(spec), **{key: options[key] for key in keys})
    started = Campaign(alloys, declared, wishes, constraints, seed=seed)
    started.save(folder)
    click.echo(f"{started!r} in {folder}. Next: pyro-hea campaign suggest {folder}")


@campaign.command()
@_folder
@click.option("-n", "count", default=5, show_default=True, help="Number of alloys.")
@table_out_option
@quiet_option
def suggest(folder: Path, count: int, out: Path | None, quiet: bool) -> None:
    """Suggest the alloys to make next; the model is trained or updated first."""
    from pyro_hea.campaign import Campaign
    from pyro_hea.cli.design import shown

    running = Campaign.load(folder)
    with on_interrupt(f"the campaign in {folder} is as it was"):
        designs = running.suggest(count, progress=not quiet)
    running.save(folder)
    if out is None:
        show(f"To make next (round {running.round})", shown(designs, running.spec, running.wishes))
    else:
        write_table(designs.table, out)
        click.echo(f"Wrote {len(designs)} alloys to {out}")
    click.echo(f"\nRecord what you measure: pyro-hea campaign record {folder} TABLE")


@campaign.command()
@_folder
@click.argument("table", type=click.Path(path_type=Path), required=False)
@click.option("--failed", multiple=True, help="Formula of an alloy that could not be made.")
def record(folder: Path, table: Path | None, failed: tuple[str, ...]) -> None:
    """Record a TABLE of measurements, and alloys that could not be made."""
    from pyro_hea.campaign import Campaign

    running = Campaign.load(folder)
    running.record(table, failed)
    running.save(folder)
    click.echo(repr(running))


@campaign.command()
@_folder
@table_out_option
def status(folder: Path, out: Path | None) -> None:
    """Show what was suggested, measured and failed."""
    from pyro_hea.campaign import Campaign

    running = Campaign.load(folder)
    click.echo(repr(running))
    if out is not None:
        write_table(running.history, out)
        click.echo(f"Wrote the history to {out}")
    elif len(running.history):
        show("History", running.history)
