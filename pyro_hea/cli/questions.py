"""Wishes and constraints on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pyro_hea.cli.options import condition_option, pair, together

if TYPE_CHECKING:
    from pyro_hea.design import Constraint, Wish

question_options = together(
    click.option(
        "--target",
        multiple=True,
        required=True,
        help="phase=FCC, single_phase=1, hardness>500, hardness=400:600, hardness=max.",
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
"""Wishes and constraints."""


request_options = together(
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
)
"""What else is asked of designs."""


def read_requests(options: dict[str, Any]) -> dict[str, Any]:
    """What was asked for beside wishes and constraints, without what was left out."""
    names = ("conditions", "min_probability", "tolerance")
    return {name: options[name] for name in names if options[name] is not None}


def read_wishes(target: tuple[str, ...]) -> dict[str, Wish]:
    """Wishes and objectives of --target."""
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


def read_constraints(options: dict[str, Any]) -> list[Constraint]:
    """Constraints of their options and of the file of --constraints."""
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
