"""The command that all others hang on."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TextIO

import click

from pyro_hea.errors import PyroHEAError, PyroHEAWarning

_OPTIONS = {r"\bformula_column\b": "--formula-column", r"\bunit='(at|wt)'": r"--unit \1"}
"""How messages of the library name arguments that are options here."""


@contextmanager
def on_interrupt(what: str) -> Iterator[None]:
    """Say at Ctrl-C what can be resumed, and end with the status that a shell expects."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"\nInterrupted; {what}.", err=True)
        sys.exit(130)


class _Commands(click.Group):
    """Prints the package's own errors and warnings as messages, and an interrupt as such."""

    def invoke(self, context: click.Context) -> Any:
        try:
            nothing = "this command cannot be resumed. Start it again"
            with on_interrupt(nothing), warnings.catch_warnings():
                warnings.simplefilter("always", PyroHEAWarning)
                warnings.showwarning = partial(_echo_warning, set())
                return super().invoke(context)
        except PyroHEAError as error:
            raise click.ClickException(_with_options(str(error))) from error


def _with_options(message: str) -> str:
    for argument, option in _OPTIONS.items():
        message = re.sub(argument, option, message)
    return message


def _echo_warning(
    told: set[str],
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print a warning, once, without the line that gave it, which is no line of the user's."""
    kind = "Warning" if issubclass(category, PyroHEAWarning) else category.__name__
    text = f"{kind}: {_with_options(str(message))}"
    if text not in told:
        told.add(text)
        click.echo(text, err=True)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pyro-hea")
def main() -> None:
    """Inverse design of alloys with a disentangled variational autoencoder in Pyro."""
