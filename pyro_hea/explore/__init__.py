"""Walk through the latent space in a notebook."""

from pyro_hea.explore.decoding import decode_alloys

__all__ = ["decode_alloys"]
