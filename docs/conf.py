"""How Sphinx builds the documentation."""

import re
import sys
from importlib.metadata import version as _version
from pathlib import Path

_HERE = Path(__file__).parent
sys.path.insert(0, str(_HERE))  # for the extension in _generate.py

project = "pyro_hea"
author = "The pyro_hea developers"
copyright = author
release = version = _version("pyro-hea")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinxcontrib.bibtex",
    "_generate",
]
exclude_patterns = ["_build", "**/.ipynb_checkpoints"]

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # the notebooks are committed with their outputs
nb_merge_streams = True
bibtex_bibfiles = ["references.bib"]
bibtex_default_style = "unsrt"

autodoc_member_order = "bysource"
# Methods that scikit-learn adds to every estimator, with references into its own pages.
autodoc_default_options = {
    "exclude-members": ", ".join(
        f"set_{method}_request" for method in ("fit", "predict", "predict_proba", "score")
    )
}
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_ivar = True

# Shapes in the type of an argument, "shape (alloys, elements)", are words and no references.
suppress_warnings = ["ref.python"]

html_theme = "furo"
html_title = f"pyro_hea {release}"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_show_copyright = False
html_math_renderer = "mathml"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def _math(block):
    """Formulas as MathML, which browsers draw themselves: nothing is fetched from a network."""

    def visit(self, node):
        from docutils.nodes import SkipNode
        from docutils.utils.math.latex2mathml import tex2mathml

        formula = tex2mathml(node.astext(), as_block=block)
        self.body.append(f'<div class="math-block">{formula}</div>' if block else formula)
        raise SkipNode

    return visit, None


def _close_fences(app, docname, source):
    """Drop the blank line that pytest needs after a doctest's output, before the closing fence."""
    source[0] = re.sub(r"\n\n```\n", "\n```\n", source[0])


def _escape_bars(app, what, name, obj, options, lines):
    """A bar in a docstring is an absolute value, not a substitution."""
    for i, line in enumerate(lines):
        parts = line.split("``")
        parts[::2] = [text.replace("|", r"\|") for text in parts[::2]]
        lines[i] = "``".join(parts)


def _one_by_one(app, what, name, obj, options, lines):
    """Give each of several attributes on one line ("a, b : int") an entry of its own."""
    entry = re.compile(r"((?:\w+, )+\w+) : (.*)")
    for i in reversed(range(len(lines))):
        if what == "class" and (found := entry.fullmatch(lines[i])):
            end = next((j for j in range(i + 1, len(lines)) if lines[j][:1] != " "), len(lines))
            text, names = lines[i + 1 : end], found[1].split(", ")
            lines[i:end] = [line for n in names for line in (f"{n} : {found[2]}", *text)]


def setup(app):
    app.add_html_math_renderer("mathml", _math(block=False), _math(block=True))
    app.connect("source-read", _close_fences)
    for process in (_escape_bars, _one_by_one):
        app.connect("autodoc-process-docstring", process, priority=400)  # before napoleon
