"""`separate`: T for clusters that a user names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch

from pyro_hea.explain.separable.clusters import read_clusters
from pyro_hea.explain.separable.fitting import fit_separation
from pyro_hea.explain.separable.member_latent import MemberLatent
from pyro_hea.explain.separable.separable import SeparableLatent
from pyro_hea.materials.alloys.dataset import AlloyDataset
from pyro_hea.posterior import as_fractions
from pyro_hea.spec import Separation

if TYPE_CHECKING:
    from pyro_hea.explain.separable.clusters import Rule
    from pyro_hea.materials.alloys.amounts import Alloys
    from pyro_hea.vae import DisentangledVAE


@torch.inference_mode(False)
def separate(
    vae: DisentangledVAE,
    clusters: str | Mapping[str, Rule | Iterable[str]],
    member: int = 0,
    *,
    alloys: AlloyDataset | Alloys | None = None,
    only: Sequence[str] | None = None,
    spec: Separation | None = None,
    seed: int = 0,
) -> SeparableLatent:
    """Train an invertible network T that takes clusters of alloys apart.

    T takes the latent w of one member, which the decoder sees beside the targets, to u, where each
    cluster is a normal. The model itself does not change. After Zhang, Carvalho and Freitas,
    arXiv:2305.01713.

    Parameters
    ----------
    vae : DisentangledVAE
    clusters : str or mapping
        `"family"` (whichever family has the largest share of the atoms), `"principal_element"`,
        `"holds Al"` of any element, a target of classes, or a column of the reports of `alloys`.
        Or by name a rule, which takes a table of fractions and says of each alloy whether it is in
        the cluster, or a list of alloys. An alloy may be in none.
    member : int
        Each member has a latent of its own.
    alloys : alloys of the training elements, optional
        What T is trained on: by default the training alloys of the model. Those of which no
        cluster is known take part too.
    only : sequence of str, optional
        Some of the clusters.
    spec : Separation, optional
    seed : int

    Returns
    -------
    SeparableLatent

    Raises
    ------
    DataError
        For an unknown rule, cluster or member, clusters that overlap, or one with fewer than ten
        alloys.

    Examples
    --------
    >>> from pyro_hea import DisentangledVAE, ModelSpec, load_alloys
    >>> from pyro_hea.explain import separate
    >>> from pyro_hea.spec import Separation
    >>> alloys = load_alloys("zeng2024")
    >>> small = ModelSpec(training={"members": 2, "epochs": 5, "distillation": None})
    >>> vae = DisentangledVAE(small).fit(alloys, seed=0, progress=False)
    >>> quick = Separation(steps=20, drawn=100)
    >>> separate(vae, "holds Al", alloys=alloys[:100], spec=quick)
    SeparableLatent(whether it holds Al: no Al, holds Al; member 0, 100 alloys)
    """
    ensemble = vae.ensemble
    ensemble.check_member(member)
    if alloys is None:
        alloys = ensemble.known if vae._data is None else vae._data
    data = alloys if isinstance(alloys, AlloyDataset) else None
    found = read_clusters(clusters, ensemble, data)
    if only is not None:
        found = found.only(only)
    table = alloys if isinstance(alloys, AlloyDataset) else as_fractions(alloys)
    codes = found.of(table)
    found.check_sizes(codes)  # before alloys are encoded
    latent = MemberLatent.of(ensemble, member)
    encoded = latent.encode(table)
    fitted = fit_separation(spec or Separation(), latent, found, encoded, codes, seed)
    return SeparableLatent(ensemble, member, found, latent, table, encoded, codes, fitted, seed)
