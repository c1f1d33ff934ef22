"""Walk through the latent space in a notebook."""

from pyro_hea.explain.explorer.alloy_map import AlloyMap, Selection
from pyro_hea.explain.explorer.decoding import decode_alloys
from pyro_hea.explain.explorer.explorer import Explorer

__all__ = ["AlloyMap", "Explorer", "Selection", "decode_alloys"]
