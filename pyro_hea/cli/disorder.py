"""The command that asks what the atoms of an alloy do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pyro_hea.cli.group import main
from pyro_hea.cli.options import (
    jobs_option,
    quiet_option,
    seed_option,
    show,
    whole_table_out_option,
    write_table,
)

if TYPE_CHECKING:
    from pyro_hea.disorder import Engine


def _temperatures(context: click.Context, option: click.Parameter, text: str) -> list[float]:
    """A list of temperatures, or five from the lowest to the highest."""
    try:
        if ":" in text:
            low, high = map(float, text.split(":"))
            return [low + i * (high - low) / 4 for i in range(5)]
        return [float(t) for t in text.split(",")]
    except ValueError as error:
        raise click.BadParameter(f"'{text}' is not allowed; write 300:1500 or 300,900") from error


@main.command()
@click.argument("formula")
@click.option(
    "--engine",
    type=click.Choice(["meam", "emt"]),
    default="meam",
    show_default=True,
    help="meam: Al, Co, Cr, Fe, Mo, Ni, V; emt: Ag, Al, Au, Cu, Ni, Pd, Pt.",
)
@click.option(
    "--temperature",
    "temperatures",
    default="300:1500",
    show_default=True,
    callback=_temperatures,
    help="In K: five from 300:1500, or 300,600,900.",
)
@click.option("--lattice", type=click.Choice(["fcc", "bcc"]), help="By default by valence.")
@click.option("--nearest", is_flag=True, help="Take the nearest composition that fits a cell.")
@click.option("--budget", default=5000, show_default=True, help="Energies of the cell.")
@click.option("--environments", default=500, show_default=True, help="Of vacancies.")
@jobs_option
@click.option("--file", type=click.Path(path_type=Path), help="Where energies are kept.")
@seed_option
@whole_table_out_option
@quiet_option
def disorder(
    formula: str,
    engine: str,
    temperatures: list[float],
    out: Path | None,
    quiet: bool,
    file: Path | None,
    jobs: int,
    **how: Any,
) -> None:
    """Short-range order, free energy and vacancies of an alloy.

    Each energy is kept as soon as it is known: a run that was ended goes on where it was.
    """
    from pyro_hea.disorder import alloy_disorder
    from pyro_hea.disorder.alloys import SHOWN
    from pyro_hea.executors import local_processes

    with local_processes(jobs) as executor:
        found = alloy_disorder(
            formula,
            temperatures,
            engine=_engine(engine),
            file=file or "default",
            executor=executor,
            progress=not quiet,
            **how,
        )
    table = found.table[list(SHOWN)]
    table = table.assign(concentration=table["concentration"].map("{:.2e}".format))
    show(f"{found.formula} as {found.cell}, eV and k a site", table)
    first = found.bulk.order[found.bulk.order["shell"] == 1]
    order = first.pivot(index="temperature_K", columns="pair", values="alpha").reset_index()
    show("Warren–Cowley parameters of the first shell", order)
    columns = ["factor", "where", "share", "effect"]
    show("What sets the energy", found.bulk.factors[columns])
    show("What sets the formation energy of a vacancy", found.vacancies.factors[columns])
    if out is not None:
        write_table(found.table, out)


def _engine(name: str) -> Engine:
    from pyro_hea.disorder import ASEEngine, MEAMEngine

    return MEAMEngine() if name == "meam" else ASEEngine("emt")
