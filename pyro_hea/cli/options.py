"""Options that several commands take, and how they read and show."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import pandas as pd

    from pyro_hea.spec import ModelSpec


def _writable(context: click.Context, option: click.Parameter, folder: Path) -> Path:
    """Refuse a folder that cannot be written before anything is computed."""
    probe = folder / ".probe"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        reason = error.strerror or error
        raise click.ClickException(f"cannot write into '{folder}': {reason}") from error
    return folder


def seeds_option(default: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """How many seeds to run."""
    return click.option(
        "--seeds",
        type=click.IntRange(1),
        default=default,
        show_default=True,
        help="How many seeds to run: 0, 1, ….",
    )


seed_option = click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    show_default=True,
    help="Random seed.",
)
device_option = click.option(
    "--device", default="auto", show_default=True, help="auto, cpu or cuda."
)
spec_option = click.option(
    "--spec", type=click.Path(path_type=Path), help="YAML file of the model."
)
quiet_option = click.option("--quiet", is_flag=True, help="Show no progress bar.")
results_option = click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("benchmarks"),
    show_default=True,
    callback=_writable,
    help="Folder to write.",
)
formula_column_option = click.option(
    "--formula-column", default="formula", show_default=True, help="Column of the formulas."
)


def read_spec(path: Path | None) -> ModelSpec | None:
    """The spec in a file, None for the default."""
    from pyro_hea.spec import ModelSpec

    return None if path is None else ModelSpec.from_yaml(path)


def show(title: str, table: pd.DataFrame) -> None:
    """Print a table under its title."""
    text = table.to_string(index=False, float_format=lambda value: f"{value:.3f}", na_rep="–")
    click.echo(f"\n{title}\n{'-' * len(title)}\n{text}")
