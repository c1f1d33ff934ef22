"""Walk through the latent space in a notebook."""

from pyro_hea.explain.explorer.cursor import AlloyMap, Answer
from pyro_hea.explain.explorer.decoding import decode_alloys
from pyro_hea.explain.explorer.explorer import Explorer

__all__ = ["AlloyMap", "Answer", "Explorer", "decode_alloys"]
