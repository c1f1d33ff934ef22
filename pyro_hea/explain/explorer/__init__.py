"""Walk through the latent spaces in a notebook."""

from pyro_hea.explain.explorer.alloy_map import AlloyMap, Selection
from pyro_hea.explain.explorer.crystal_explorer import CrystalExplorer
from pyro_hea.explain.explorer.crystal_maps import CrystalMaps, CrystalSelection
from pyro_hea.explain.explorer.decoding import decode_alloys
from pyro_hea.explain.explorer.explorer import Explorer

__all__ = [
    "AlloyMap",
    "CrystalExplorer",
    "CrystalMaps",
    "CrystalSelection",
    "Explorer",
    "Selection",
    "decode_alloys",
]
