"""The command that all others hang on."""

from __future__ import annotations

from typing import Any

import click

from pyro_hea.errors import PyroHEAError


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
