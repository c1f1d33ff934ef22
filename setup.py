"""Where the packages lie; every other setting is in pyproject.toml."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["pyro_hea", "pyro_hea.*"]), "pyro_hea.data"],
    package_dir={"pyro_hea.data": "data"},
)
