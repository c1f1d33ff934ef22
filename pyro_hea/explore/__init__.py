"""Walk through the latent space in a notebook."""

from pyro_hea.explore.cursor import AlloyMap, Answer
from pyro_hea.explore.decoding import decode_alloys
from pyro_hea.explore.explorer import Explorer

__all__ = ["AlloyMap", "Answer", "Explorer", "decode_alloys"]
