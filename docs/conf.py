"""How Sphinx builds the documentation."""

from importlib.metadata import version as _version

project = "pyro_hea"
author = "The pyro_hea developers"
copyright = author
release = version = _version("pyro-hea")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
napoleon_google_docstring = False

html_theme = "furo"
html_title = f"pyro_hea {release}"
copybutton_prompt_text = "$ "
