"""Commands that propose alloys."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from pyro_hea.cli.group import main
from pyro_hea.cli.options import (
    condition_option,
    formula_column_option,
    load_model,
    model_option,
    pair,
    quiet_option,
    seed_option,
    show,
    table_out_option,
    write_table,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyro_hea.design import Constraint, DesignResult, Wish
    from pyro_hea.spec import ModelSpec
    from pyro_hea.vae import DisentangledVAE

_OUTPUT_OPTIONS = (
    table_out_option,
    click.option(
        "--report", "page", type=click.Path(path_type=Path), help="HTML page to write as well."
    ),
)

_QUESTION_OPTIONS = (
    click.option(
        "--target",
        multiple=True,
        required=True,
        help="phase=FCC, single_phase=1, hardness>500, hardness=400:600, hardness=max.",
    ),
    condition_option,
    click.option(
        "--min-probability",
        type=click.FloatRange(0, 1),
        help="Least probability that all wishes hold.",
    ),
    click.option(
        "--tolerance",
        type=click.FloatRange(0, 1, min_open=True),
        help="Weighing error of a fraction, as 0.005: how probably the wishes hold within it.",
    ),
    click.option("--allow", help="Allowed elements or groups, as Al,Co,Cr,Fe,Ni or refractory."),
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
    click.option("--min-novelty", type=float, help="Least total variation from every known alloy."),
    click.option("--density", help="Bounds of the density in g/cm3, as 5:8."),
    click.option("--max-price", type=float, help="Most per kilogram, by the table of --prices."),
    click.option(
        "--prices", type=click.Path(path_type=Path), help="CSV with columns element and price."
    ),
    click.option(
        "--constraints",
        "file",
        type=click.Path(path_type=Path),
        help="YAML file of further constraints.",
    ),
)


def _design_options(command: Any) -> Any:
    """Add the options of wishes, constraints and output to a command."""
    for option in reversed(_QUESTION_OPTIONS + _OUTPUT_OPTIONS):
        command = option(command)
    return command


@main.command()
@model_option
@_design_options
@click.option("-n", "count", default=20, show_default=True, help="Number of designs.")
@click.option("--batch", type=int, help="Keep this many designs, diverse and informative.")
@click.option(
    "--agreement", default=5.0, show_default=True, help="Exponent κ of the predicted probability."
)
@click.option("--step", default=0.005, show_default=True, help="Fractions are multiples of it.")
@click.option(
    "--min-fraction",
    "minimum",
    default=0.01,
    show_default=True,
    help="Smallest fraction of an element.",
)
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
    minimum: float,
    method: Literal["importance", "nuts", "svi"],
    out: Path | None,
    page: Path | None,
    seed: int,
    **options: Any,
) -> None:
    """Propose new alloys with given properties, under constraints."""
    wishes, constraints = _read_wishes(options["target"]), _read_constraints(options)
    vae = load_model(model)
    how = {"step": step, "minimum": minimum, "agreement": agreement, **_asked(options)}
    result = vae.design(wishes, constraints, n=count, method=method, seed=seed, **how)
    result = result if batch is None else result.batch(batch)
    _write_result(result, vae, wishes, constraints, out, page)


@main.command()
@model_option
@_design_options
@click.option("--step", default=0.05, show_default=True, help="Step of the grid, as a fraction.")
@click.option(
    "--min-fraction",
    "minimum",
    default=0.01,
    show_default=True,
    help="Smallest fraction of an element.",
)
@click.option("--candidates", type=click.Path(path_type=Path), help="Table to rank, not a grid.")
@formula_column_option
@click.option("-n", "count", default=20, show_default=True, help="Number of alloys returned.")
@click.option("--limit", default=50_000_000, show_default=True, help="Largest grid.")
@click.option(
    "--exhaustive", is_flag=True, help="Predict every composition with the whole ensemble."
)
@seed_option
@quiet_option
def screen(
    model: Path | None,
    step: float,
    minimum: float,
    candidates: Path | None,
    formula_column: str,
    count: int,
    limit: int,
    exhaustive: bool,
    out: Path | None,
    page: Path | None,
    seed: int,
    quiet: bool,
    **options: Any,
) -> None:
    """Rank every composition of a grid, or the alloys of a table."""
    from pyro_hea.alloys.dataset import read_formulas

    wishes, constraints = _read_wishes(options["target"]), _read_constraints(options)
    alloys = None if candidates is None else read_formulas(candidates, formula_column)
    vae = load_model(model)
    result = vae.screen(
        wishes,
        constraints,
        candidates=alloys,
        step=step,
        minimum=minimum,
        n=count,
        limit=limit,
        exhaustive=exhaustive,
        seed=seed,
        progress=not quiet,
        **_asked(options),
    )
    _write_result(result, vae, wishes, constraints, out, page)


def _asked(options: dict[str, Any]) -> dict[str, Any]:
    """What was asked for beside wishes and constraints, without what was left out."""
    names = ("conditions", "min_probability", "tolerance")
    return {name: options[name] for name in names if options[name] is not None}


def _read_wishes(target: tuple[str, ...]) -> dict[str, Wish]:
    wishes: dict[str, Wish] = {}
    for text in target:
        name, wish = _read_wish(text)
        if name in wishes:
            raise click.UsageError(f"--target {name} is given twice")
        wishes[name] = wish
    return wishes


def _read_wish(text: str) -> tuple[str, Wish]:
    for sign in (">=", "<=", ">", "<"):
        name, found, bound = text.partition(sign)
        if found:
            return name.strip(), (sign, _number(bound.strip(), f"--target {text}"))
    name, value = pair(text)
    if ":" in value:
        if value.count(":") > 1:
            raise click.UsageError(f"--target {text}: '{value}' is no range; write LOW:HIGH")
        return name, _range(value)
    try:
        return name, float(value)
    except ValueError:
        return name, value


def _read_constraints(options: dict[str, Any]) -> list[Constraint]:
    import pyro_hea.design as d

    found: list[Constraint] = []
    for kind, option in (
        (d.AllowedElements, "allow"),
        (d.RequiredElements, "require"),
        (d.ForbiddenElements, "forbid"),
    ):
        if options[option] is not None:
            found.append(kind(*(symbol.strip() for symbol in options[option].split(","))))
    for one, option in (
        (d.MinElements, "min_elements"),
        (d.MaxElements, "max_elements"),
        (d.LargestFraction, "max_fraction"),
        (d.Novel, "min_novelty"),
    ):
        if options[option] is not None:
            found.append(one(options[option]))
    found += [d.ElementBounds(n, *_range(text)) for n, text in map(pair, options["bounds"])]
    found += [
        d.SumBounds(tuple(n.split("+")), *_range(text)) for n, text in map(pair, options["sums"])
    ]
    found += [d.FeatureBounds(n, *_range(text)) for n, text in map(pair, options["feature"])]
    for name, text in map(pair, options["ratio"]):
        top, slash, bottom = name.partition("/")
        if not slash:
            raise click.UsageError(f"'{name}' is no ratio; write Al/Ni=1:3")
        found.append(d.Ratio(top, bottom, *_range(text)))
    for name, text in map(pair, options["near"]):
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


def _write_result(
    result: DesignResult,
    vae: DisentangledVAE,
    wishes: Mapping[str, Wish],
    constraints: Sequence[Constraint],
    out: Path | None,
    page: Path | None,
) -> None:
    if out is None:
        table = result.table[_columns_shown(vae.spec, wishes)]
        table = table.assign(known=table["known"].map(_short_formula))
        bounds = {f"{n}_{end}": end for n in vae.spec.target_names for end in ("low", "high")}
        show(repr(result), table.rename(columns=bounds))
    else:
        write_table(result.table, out)
        click.echo(f"Wrote {result!r} to {out}")
    if page is not None:
        from pyro_hea.evaluate.report import write_designs

        write_designs(page, result, wishes=wishes, constraints=constraints)
        click.echo(f"Wrote {page}: open it in a browser.")


def _columns_shown(spec: ModelSpec, wishes: Mapping[str, Wish]) -> list[str]:
    """Columns printed; files hold all of them."""
    predicted = [
        f"{target.name}{suffix}"
        for target in spec.targets
        for suffix in (("", "_low", "_high") if target.kind in ("binary", "continuous") else ("",))
    ]
    together = ["all_wishes"] if len(wishes) > 1 else []
    return ["formula", *predicted, *together, "novelty", "known"]


def _short_formula(formula: str) -> str:
    """A formula in at.% with two digits an element."""
    from pyro_hea.alloys.composition import parse_composition

    parts = parse_composition(formula).items()
    return "".join(f"{element}{float(f'{100 * share:.2g}'):g}" for element, share in parts)


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
