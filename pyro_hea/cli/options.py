"""Options that several commands take, and how they read and show."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial, reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import click

from pyro_hea.errors import OutputError
from pyro_hea.files import writable

if TYPE_CHECKING:
    import pandas as pd

    from pyro_hea.materials.alloys.dataset import AlloyDataset
    from pyro_hea.spec import ModelSpec
    from pyro_hea.vae import DisentangledVAE

TABLE_SUFFIXES = (".csv", ".xlsx", ".parquet")
"""Endings of tables that are written."""


def _writable(context: click.Context, option: click.Parameter, folder: Path) -> Path:
    """Refuse a folder that cannot be written before anything is computed."""
    return writable(folder)


def _table_name(context: click.Context, option: click.Parameter, out: Path | None) -> Path | None:
    """Refuse a table of another format, or in no folder, before anything is computed."""
    if out is not None and out.suffix.lower() not in TABLE_SUFFIXES:
        raise click.BadParameter(
            f"'{out}' ends in '{out.suffix}': tables are written as {', '.join(TABLE_SUFFIXES)}"
        )
    if out is not None and not out.absolute().parent.is_dir():
        raise OutputError(f"cannot write into '{out.parent}': it is no folder ('{out.name}')")
    return out


def _conditions(
    context: click.Context, option: click.Parameter, given: tuple[str, ...]
) -> dict[str, Any] | None:
    conditions: dict[str, Any] = {}
    for text in given:
        name, value = pair(text)
        if name in conditions:
            raise click.BadParameter(f"{name} is given twice; write its values as {name}=25,800")
        conditions[name] = _condition(value)
    return conditions or None


def _condition(value: str) -> Any:
    """A number or a text, a list of them, or the two ends of a range."""
    if "," in value:
        return [_condition(part.strip()) for part in value.split(",")]
    low, colon, high = value.partition(":")
    try:
        return (float(low), float(high)) if colon else float(value)
    except ValueError:
        return value


def _columns(
    context: click.Context, option: click.Parameter, given: tuple[str, ...]
) -> dict[str, str] | None:
    return dict(pair(text) for text in given) or None


def _changes(
    context: click.Context, option: click.Parameter, given: tuple[str, ...]
) -> dict[str, Any]:
    import yaml

    changes = {}
    for text in given:
        key, value = pair(text)
        try:
            changes[key.replace(".", "__")] = yaml.safe_load(value)
        except (yaml.YAMLError, ValueError) as error:
            raise click.BadParameter(f"'{value}' is no value of YAML") from error
    return changes


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
jobs_option = click.option(
    "--jobs",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Processes that work at a time, each of one thread.",
)
results_option = click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("benchmarks"),
    show_default=True,
    callback=_writable,
    help="Folder to write.",
)
model_option = click.option(
    "--model",
    type=click.Path(path_type=Path),
    help="Folder of a saved model; without it, the default model.",
)
_table_out = partial(click.option, "--out", type=click.Path(path_type=Path), callback=_table_name)
table_out_option = _table_out(help="Table to write (.csv, .xlsx or .parquet) instead of printing.")
whole_table_out_option = _table_out(
    help="File (.csv, .xlsx or .parquet) for the whole table, with its intervals."
)
condition_option = click.option(
    "--condition",
    "conditions",
    multiple=True,
    callback=_conditions,
    help="At which conditions, as test_temperature_C=800, 25,800 or 25:1000.",
)
formula_column_option = click.option(
    "--formula-column", default="formula", show_default=True, help="Column of the formulas."
)
unit_option = click.option(
    "--unit", type=click.Choice(["at", "wt"]), help="Whether amounts count atoms or are weights."
)
column_option = click.option(
    "--column", "columns", multiple=True, callback=_columns, help="Rename a column, as HV=hardness."
)


set_option = click.option(
    "--set",
    "changes",
    multiple=True,
    callback=_changes,
    help="Another value of a key of the spec, as training.epochs=60.",
)
targets_option = click.option(
    "--targets", help="Columns that are targets, joined by commas; by default all measured."
)


joined_option = click.option(
    "--with",
    "joined",
    type=click.Choice(["embedded"]),
    help="Join the embedded alloys to the table.",
)


def together(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """One decorator for several options, in their order."""

    def decorator(command: Any) -> Any:
        return reduce(lambda found, option: option(found), reversed(options), command)

    return decorator


alloys_options = together(
    formula_column_option,
    column_option,
    unit_option,
    targets_option,
    joined_option,
    set_option,
)
"""How a table of alloys is read."""


def read_spec(path: Path | None) -> ModelSpec | None:
    """The spec in a file, None for the default."""
    from pyro_hea.spec import ModelSpec

    return None if path is None else ModelSpec.from_yaml(path)


def read_data(
    table: Path | None,
    spec: ModelSpec | None,
    *,
    joined: str | None,
    targets: str | None,
    formula_column: str,
    columns: dict[str, str] | None,
    unit: Literal["at", "wt"] | None,
    changes: dict[str, Any],
    prefix: str = "",
) -> tuple[AlloyDataset, ModelSpec]:
    """A table of alloys, without one the embedded alloys, and its spec.

    Where no spec is given one is inferred, and what became of each column is printed, each line
    after a prefix.
    """
    from pyro_hea.materials.alloys.dataset import load_alloys, read_alloys
    from pyro_hea.spec import ModelSpec
    from pyro_hea.spec.inferred import infer_targets

    if spec is not None and targets is not None:
        raise click.UsageError("--targets and --spec exclude each other: a spec names its targets")
    how: Any = {"formula_column": formula_column, "columns": columns, "unit": unit}
    data = load_alloys() if table is None else read_alloys(table, spec=spec, **how)
    whole = data + load_alloys() if joined is not None and table is not None else data
    if spec is not None:
        return whole, spec.with_(**changes)
    ignored = {}
    if targets is None:
        own = infer_targets(data)
        names = [target.name for target in own.targets]
        ignored = {column.name: column for column in own.columns if column.used_as == "ignored"}
    else:
        names = [name.strip() for name in targets.split(",")]
    found = infer_targets(whole, names)
    said = [ignored.get(c.name, c) if c.used_as == "ignored" else c for c in found.columns]
    for line in str(found._replace(columns=tuple(said))).splitlines():
        click.echo(prefix + line)
    return whole, ModelSpec.for_data(whole, names, verbose=False, **changes)


def load_model(folder: Path | None, targets: Iterable[str] = ()) -> DisentangledVAE:
    """The model in a folder, without one the default model.

    Where targets are asked for that the default spec has not, the default model of those that the
    embedded alloys have is trained, and kept.
    """
    from pyro_hea.vae import DisentangledVAE

    if folder is not None:
        return DisentangledVAE.load(folder)
    from pyro_hea.materials.alloys.dataset import load_alloys
    from pyro_hea.spec import ModelSpec

    asked = [name for name in targets if name not in ModelSpec().target_names]
    data = load_alloys() if asked else None
    measured = [name for name in targets if data is not None and name in data.targets]
    if data is None or not set(asked) & set(measured):
        return DisentangledVAE.default()
    click.echo(
        f"The default model of {', '.join(measured)}; it is kept once it is trained.", err=True
    )
    return DisentangledVAE.default(ModelSpec.for_data(data, measured, verbose=False))


def show(title: str, table: pd.DataFrame) -> None:
    """Print a table under its title."""
    text = table.to_string(index=False, float_format=lambda value: f"{value:.3f}", na_rep="–")
    click.echo(f"\n{title}\n{'-' * len(title)}\n{text}")


def write_table(table: pd.DataFrame, out: Path) -> None:
    """Write a table in the format of its ending.

    Raises
    ------
    OutputError, MissingExtraError
    """
    from pyro_hea.design import export

    export.write_table(table, out, cast("Any", out.suffix.lower().removeprefix(".")))


def pair(text: str) -> tuple[str, str]:
    """The two sides of NAME=VALUE."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise click.UsageError(f"'{text}' is not allowed; write NAME=VALUE")
    return name.strip(), value.strip()
