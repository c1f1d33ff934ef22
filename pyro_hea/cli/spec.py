"""Commands around the declaration of a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from pyro_hea.cli.group import main
from pyro_hea.cli.options import alloys_options, read_data

_file = click.argument("file", type=click.Path(path_type=Path))


@main.group()
def spec() -> None:
    """Write, check and look at the declaration of a model (YAML)."""


@spec.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option(
    "--shipped", default="default", show_default=True, help="Spec of the package to start from."
)
def init(file: Path | None, shipped: str) -> None:
    """Write a spec to FILE, or print it: every key, with what it means."""
    from pyro_hea.spec import ModelSpec
    from pyro_hea.spec.annotated import annotated_yaml

    text = annotated_yaml(ModelSpec.shipped(shipped))
    if file is None:
        click.echo(text, nl=False)
        return
    _write_new(file, text)


@spec.command("for")
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="YAML file to write.")
@alloys_options
def infer(data: Path, out: Path | None, **how: Any) -> None:
    """Print a spec for the measured columns of a table, or write it."""
    from pyro_hea.spec.annotated import targets_yaml

    _, inferred = read_data(data, None, prefix="# ", **how)
    if out is None:
        click.echo(targets_yaml(inferred), nl=False)
    else:
        _write_new(out, targets_yaml(inferred))


@spec.command()
@_file
def check(file: Path) -> None:
    """Say what is wrong with FILE, every fault on a line, or that nothing is."""
    from pyro_hea.spec import ModelSpec

    declared = ModelSpec.from_yaml(file)
    targets = ", ".join(f"{target.name} ({target.kind})" for target in declared.targets)
    prior = getattr(declared.latent.prior, "dist", "")
    click.echo(f"{file}: ok")
    click.echo(f"targets: {targets}")
    click.echo(f"latent: {declared.latent.dim} coordinates, {prior}")
    click.echo(f"likelihood: {declared.likelihood.kind}")
    click.echo(f"ensemble: {declared.training.members} members")


@spec.command()
@_file
@click.option(
    "--out", type=click.Path(path_type=Path), help="Picture of the graph (svg, pdf, png, dot)."
)
def show(file: Path, out: Path | None) -> None:
    """Print the generative process that FILE declares, or draw it as a graph."""
    from pyro_hea.spec import ModelSpec
    from pyro_hea.spec.process import generative_process

    declared = ModelSpec.from_yaml(file)
    click.echo(str(generative_process(declared)))
    if out is not None:
        from pyro_hea.posterior.graph import draw_graph

        draw_graph(declared, out)
        click.echo(f"Wrote {out}")


@spec.command()
def schema() -> None:
    """Print the JSON Schema of the YAML, by which editors complete it."""
    from pyro_hea.spec import ModelSpec

    click.echo(json.dumps(ModelSpec.json_schema(), indent=1, ensure_ascii=False))


def _write_new(file: Path, text: str) -> None:
    """Write a file that does not exist yet."""
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise click.ClickException(f"'{file}' exists already; name another file") from None
    except OSError as error:
        raise click.ClickException(f"cannot write '{file}': {error.strerror or error}") from error
    click.echo(f"Wrote {file}. Check it with: pyro-hea spec check {file}")
