"""An extension of IPython: names of targets, features, distributions and specs complete in quotes.

`%load_ext pyro_hea.completion` in a notebook, then Tab after an open quote: the targets of the
models, specs and tables of the notebook and the features; after `dist` the distributions of
priors and likelihoods; after `shipped(` the specs that come with the package.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.completer import CompletionContext, SimpleMatcherResult
    from IPython.core.interactiveshell import InteractiveShell

_OPEN_QUOTE = re.compile(r"""(?P<before>^|.*[\[({,:=<>\s])(?P<quote>["'])(?P<begun>\w*)$""", re.S)


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Called by `%load_ext pyro_hea.completion`."""
    from IPython.core.completer import SimpleCompletion, context_matcher

    def pyro_hea_names(context: CompletionContext) -> SimpleMatcherResult:
        line = context.line_with_cursor[: context.cursor_position]
        names = [SimpleCompletion(text=name) for name in complete(line, shell.user_ns)]
        begun = _OPEN_QUOTE.match(line)
        fragment = begun["begun"] if begun else context.token
        return {"completions": names, "matched_fragment": fragment, "suppress": bool(names)}

    matcher: Any = context_matcher()
    shell.Completer.custom_matchers.append(matcher(pyro_hea_names))


def complete(line: str, namespace: Mapping[str, Any]) -> list[str]:
    """Names that a line may go on with.

    Parameters
    ----------
    line : str
        Up to the cursor.
    namespace : mapping
        Variables of the notebook, by name.

    Returns
    -------
    list of str
        Whole names, sorted; none where no quote is open.

    Examples
    --------
    >>> from pyro_hea import ModelSpec
    >>> complete('vae.design({"hard', {"spec": ModelSpec.shipped("properties")})
    ['hardness']
    >>> complete('ModelSpec.shipped("p', {})
    ['properties', 'published']
    """
    if (found := _OPEN_QUOTE.match(line)) is None:
        return []
    before = found["before"].rstrip()
    if spec := re.search(r"(ModelSpec|CrystalSpec|AtlasSpec)\.shipped\($", before):
        from pyro_hea import spec as specs

        names = set(getattr(specs, spec[1]).shipped_names())
    elif re.search(r"""\bdist["']?\s*[:=]$""", before):
        from pyro_hea.spec.distributions import DISTRIBUTIONS

        names = set(DISTRIBUTIONS)
    else:
        from pyro_hea.materials.alloys.features import FEATURES

        names = {*FEATURES, *_targets(namespace)}
    return sorted(name for name in names if name.startswith(found["begun"]))


def _targets(namespace: Mapping[str, Any]) -> Iterator[str]:
    """Of the models, specs and tables among the variables of a notebook."""
    from pyro_hea.materials.alloys.dataset import AlloyDataset
    from pyro_hea.materials.crystals import CrystalDataset
    from pyro_hea.spec import CrystalSpec, ModelSpec

    for value in [*namespace.values()]:
        declared = getattr(value, "spec", value)
        if isinstance(declared, ModelSpec | CrystalSpec):
            yield from declared.target_names
        elif isinstance(value, AlloyDataset | CrystalDataset):
            yield from map(str, value.targets)
