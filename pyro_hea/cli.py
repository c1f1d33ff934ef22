"""The command line: arguments over the public API."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from pyro_hea.errors import PyroHEAError

if TYPE_CHECKING:
    import pandas as pd

    from pyro_hea.design import Constraint, DesignResult
    from pyro_hea.spec import ModelSpec
    from pyro_hea.vae import DisentangledVAE


class _Commands(click.Group):
    """Prints the package's own errors as a message, and an interrupt as such."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except PyroHEAError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pyro-hea")
def main() -> None:
    """Inverse design of alloys with a disentangled variational autoencoder in Pyro."""


def _writable(context: click.Context, option: click.Parameter, path: Path | None) -> Path | None:
    """Refuse a file that cannot be written before anything is computed."""
    if path is not None:
        there = path.exists()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.open("a").close()
            if not there:
                path.unlink()
        except OSError as error:
            reason = error.strerror or error
            raise click.ClickException(f"cannot write '{path}': {reason}") from error
    return path


def _seeds(default: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(
        "--seeds",
        type=click.IntRange(1),
        default=default,
        show_default=True,
        help="How many seeds to run: 0, 1, ….",
    )


_seed = click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    show_default=True,
    help="Random seed.",
)
_device = click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
_spec = click.option("--spec", type=click.Path(path_type=Path), help="YAML file of the model.")
_quiet = click.option("--quiet", is_flag=True, help="Show no progress bar.")
_json = click.option(
    "--json",
    "path",
    type=click.Path(path_type=Path),
    callback=_writable,
    help="File to write.",
)
_cache = click.option(
    "--cache", type=click.Path(path_type=Path), help="Folder of finished folds, not run again."
)
_formula_column = click.option(
    "--formula-column", default="formula", show_default=True, help="Column of the formulas."
)


@main.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to write.")
@_spec
@_seed
@_device
@_quiet
def run(out: Path, spec: Path | None, seed: int, device: str, quiet: bool) -> None:
    """Train on the embedded alloys, judge the test part, design, and write a report."""
    from pyro_hea.study import run_study, tables

    study = run_study(out, spec=_read_spec(spec), seed=seed, device=device, progress=not quiet)
    for title, table in tables(study).items():
        _show(title, table.head(15))
    click.echo(f"\nWritten to {out}: open {out / 'report.html'} in a browser.")


@main.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the model.")
@click.option("--resume", is_flag=True, help="Continue an interrupted training in --out.")
@_spec
@_formula_column
@_seed
@_device
@_quiet
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
    from pyro_hea import checkpoint
    from pyro_hea.dataset import read_alloys
    from pyro_hea.vae import DisentangledVAE

    declared = _read_spec(spec)
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
        click.echo(f"\nInterrupted; the state is in {out}. Continue with --resume.", err=True)
        sys.exit(130)
    vae.save(out)
    checkpoint.remove(out, "training")
    click.echo(f"Saved {vae!r} to {out}")


@main.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("formulas", nargs=-1)
@click.option("--csv", type=click.Path(path_type=Path), help="Table with a column of formulas.")
@click.option("--out", type=click.Path(path_type=Path), help="CSV to write instead of printing.")
@_formula_column
def predict(
    model: Path, formulas: tuple[str, ...], csv: Path | None, out: Path | None, formula_column: str
) -> None:
    """Predict the targets of alloys with a saved model."""
    from pyro_hea.dataset import read_formulas
    from pyro_hea.vae import DisentangledVAE

    if bool(formulas) == (csv is not None):
        raise click.UsageError("give formulas, or a table with --csv, and not both")
    alloys = list(formulas) if csv is None else read_formulas(csv, formula_column)
    _write_or_show(DisentangledVAE.load(model).predict(alloys).reset_index(), out)


_CONSTRAINED = (
    click.option("--target", multiple=True, required=True, help="Wish, as single_phase=1."),
    click.option("--only", help="Allowed elements or groups, as Al,Co,Cr,Fe,Ni or refractory."),
    click.option("--require", help="Elements that must be present."),
    click.option("--forbid", help="Elements or groups that must be absent."),
    click.option("--min-elements", type=int, help="Fewest elements."),
    click.option("--max-elements", type=int, help="Most elements."),
    click.option("--max-fraction", type=float, help="Largest fraction of any element, as 0.5."),
    click.option("--bounds", multiple=True, help="Fractions of an element, as Co=0:0.05."),
    click.option("--sum", "sums", multiple=True, help="Fractions together, as Co+noble=0:0.1."),
    click.option("--ratio", multiple=True, help="Ratio of two elements, as Al/Ni=1:3."),
    click.option("--feature", multiple=True, help="Bounds of a feature, as mixing_enthalpy=-15:5."),
    click.option("--near", multiple=True, help="Total variation from an alloy, as CoCrNi=0.1."),
    click.option("--novel", type=float, help="Least total variation from every known alloy."),
    click.option("--density", help="Bounds of the density in g/cm3, as 5:8."),
    click.option("--max-price", type=float, help="Most per kilogram, by the table of --prices."),
    click.option(
        "--prices", type=click.Path(path_type=Path), help="CSV with columns element and price."
    ),
    click.option(
        "--constraints", "file", type=click.Path(path_type=Path), help="YAML file of more of them."
    ),
)


def _constrained(command: Any) -> Any:
    """Give a command the options of wishes and constraints."""
    for option in reversed(_CONSTRAINED):
        command = option(command)
    return command


@main.command()
@click.argument("model", type=click.Path(path_type=Path))
@_constrained
@click.option("-n", "count", default=20, show_default=True, help="Number of designs.")
@click.option("--batch", type=int, help="Keep so many that are diverse and informative.")
@click.option("--agreement", default=10.0, show_default=True, help="Power of the prediction.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="CSV or Parquet to write instead of printing."
)
@_seed
def design(
    model: Path,
    count: int,
    batch: int | None,
    agreement: float,
    out: Path | None,
    seed: int,
    **options: Any,
) -> None:
    """Propose new alloys with a wished-for property, under constraints."""
    from pyro_hea.vae import DisentangledVAE

    wishes, constraints = _wishes(options["target"]), _constraints(options)
    vae = DisentangledVAE.load(model)
    result = vae.design(wishes, constraints, n=count, seed=seed, agreement=agreement)
    _deliver(result if batch is None else result.batch(batch), vae, out)


@main.command()
@click.argument("model", type=click.Path(path_type=Path))
@_constrained
@click.option("--step", default=0.05, show_default=True, help="Step of the grid, a fraction.")
@click.option("--candidates", type=click.Path(path_type=Path), help="Table to rank, not a grid.")
@_formula_column
@click.option("-n", "count", default=20, show_default=True, help="Number of alloys returned.")
@click.option("--limit", default=50_000_000, show_default=True, help="Largest grid.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="CSV or Parquet to write instead of printing."
)
@_seed
@_quiet
def screen(
    model: Path,
    step: float,
    candidates: Path | None,
    formula_column: str,
    count: int,
    limit: int,
    out: Path | None,
    seed: int,
    quiet: bool,
    **options: Any,
) -> None:
    """Rank every composition of a grid, or the alloys of a table."""
    from pyro_hea.dataset import read_formulas
    from pyro_hea.vae import DisentangledVAE

    wishes, constraints = _wishes(options["target"]), _constraints(options)
    alloys = None if candidates is None else read_formulas(candidates, formula_column)
    vae = DisentangledVAE.load(model)
    result = vae.screen(
        wishes,
        constraints,
        candidates=alloys,
        step=step,
        n=count,
        limit=limit,
        seed=seed,
        progress=not quiet,
    )
    _deliver(result, vae, out)


def _wishes(target: tuple[str, ...]) -> dict[str, float]:
    wishes: dict[str, float] = {}
    for name, text in map(_pair, target):
        if name in wishes:
            raise click.UsageError(f"--target {name} is given twice")
        wishes[name] = _number(text, f"--target {name}")
    return wishes


def _constraints(options: dict[str, Any]) -> list[Constraint]:
    import pyro_hea.design as d

    found: list[Constraint] = []
    for kind, option in (
        (d.AllowedElements, "only"),
        (d.RequiredElements, "require"),
        (d.ForbiddenElements, "forbid"),
    ):
        if options[option] is not None:
            found.append(kind(*(symbol.strip() for symbol in options[option].split(","))))
    for one, option in (
        (d.MinElements, "min_elements"),
        (d.MaxElements, "max_elements"),
        (d.LargestFraction, "max_fraction"),
        (d.Novel, "novel"),
    ):
        if options[option] is not None:
            found.append(one(options[option]))
    found += [d.ElementBounds(n, *_range(text)) for n, text in map(_pair, options["bounds"])]
    found += [
        d.SumBounds(tuple(n.split("+")), *_range(text)) for n, text in map(_pair, options["sums"])
    ]
    found += [d.FeatureBounds(n, *_range(text)) for n, text in map(_pair, options["feature"])]
    for name, text in map(_pair, options["ratio"]):
        top, slash, bottom = name.partition("/")
        if not slash:
            raise click.UsageError(f"'{name}' is no ratio; write Al/Ni=1:3")
        found.append(d.Ratio(top, bottom, *_range(text)))
    for name, text in map(_pair, options["near"]):
        found.append(d.NearAlloy(name, _number(text, f"--near {name}")))
    if options["density"] is not None:
        found.append(d.Density(*_range(options["density"])))
    if (options["max_price"] is None) != (options["prices"] is None):
        raise click.UsageError("--max-price and --prices go together")
    if options["prices"] is not None:
        found.append(d.MaxPrice(options["max_price"], d.read_prices(options["prices"])))
    if options["file"] is not None:
        found += d.read_constraints(options["file"])
    return found


def _deliver(result: DesignResult, vae: DisentangledVAE, out: Path | None) -> None:
    if out is None:
        _show(repr(result), result.table.drop(columns=list(vae.ensemble.elements)))
        return
    write = result.to_parquet if out.suffix == ".parquet" else result.to_csv
    write(out)
    click.echo(f"Wrote {result!r} to {out}")


@main.group()
def benchmark() -> None:
    """Measure the default model by fixed protocols."""


@benchmark.command()
@_seeds(5)
@_json
@_spec
@_device
@_quiet
def published(seeds: int, path: Path | None, spec: Path | None, device: str, quiet: bool) -> None:
    """The published split: trained on its labelled and unlabelled parts, tested once."""
    import pandas as pd

    from pyro_hea.evaluate import published_benchmark

    result = published_benchmark(_read_spec(spec), seeds=seeds, device=device, progress=not quiet)
    if path is not None:
        _write_json(path, result)
    summary = pd.DataFrame(result["summary"]).T.rename_axis(index="measure").reset_index()
    _show(f"Published split, mean over {seeds} seeds", summary)


def _cross_validation(kind: Literal["random", "grouped"], doc: str) -> None:
    @benchmark.command(kind, help=doc)
    @_seeds(1)
    @_json
    @_cache
    @_spec
    @_device
    @_quiet
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
            _read_spec(spec),
            seeds=seeds,
            cache=cache,
            device=device,
            progress=not quiet,
        )
        if path is not None:
            _write_json(path, result)
        for part in ("all", "≥ 4 elements"):
            rows = {model: table[part] for model, table in result["models"].items()}
            table = pd.DataFrame(rows).T.rename_axis(index="model").reset_index()
            _show(f"{kind} folds, {part}, mean over {seeds} seeds", table)


_cross_validation("random", "Five random folds of all labelled alloys, beside the baselines.")
_cross_validation("grouped", "Five folds that keep sets of elements together.")


@benchmark.command()
@_seeds(5)
@_json
@_cache
@_spec
@_device
@_quiet
def budget(
    seeds: int, path: Path | None, cache: Path | None, spec: Path | None, device: str, quiet: bool
) -> None:
    """Few labels, the other alloys unlabelled: AUC on the published test part."""
    import pandas as pd

    from pyro_hea.evaluate import label_budget

    result = label_budget(
        _read_spec(spec), seeds=seeds, cache=cache, device=device, progress=not quiet
    )
    if path is not None:
        _write_json(path, result)
    rows = {
        count: {model: score["auc"] for model, score in found["models"].items()}
        for count, found in result["budgets"].items()
    }
    table = pd.DataFrame(rows).T.rename_axis(index="labels").reset_index()
    _show(f"AUC by number of labels, mean over {seeds} seeds", table)


def _read_spec(path: Path | None) -> ModelSpec | None:
    from pyro_hea.spec import ModelSpec

    return None if path is None else ModelSpec.from_yaml(path)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"'{text}' is not allowed; write NAME=VALUE")
    return name.strip(), value.strip()


def _number(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise click.UsageError(f"{where}: '{text}' is no number") from None


def _range(text: str) -> tuple[float, float]:
    low, colon, high = text.partition(":")
    if not colon:
        raise click.UsageError(f"'{text}' is not allowed; write LOW:HIGH, as 0:0.05")
    return _number(low, "lower bound"), _number(high, "upper bound")


def _show(title: str, table: pd.DataFrame) -> None:
    text = table.to_string(index=False, float_format=lambda value: f"{value:.3f}", na_rep="–")
    click.echo(f"\n{title}\n{'-' * len(title)}\n{text}")


def _write_or_show(table: pd.DataFrame, out: Path | None) -> None:
    if out is None:
        _show("Predictions (mean, spread over members, 94 % interval)", table)
        return
    try:
        table.to_csv(out, index=False, float_format="%.6g")
    except OSError as error:
        reason = error.strerror or error
        raise click.ClickException(f"cannot write '{out}': {reason}") from error
    click.echo(f"Wrote {len(table)} predictions to {out}")


def _write_json(path: Path, content: dict[str, Any]) -> None:
    import json

    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
