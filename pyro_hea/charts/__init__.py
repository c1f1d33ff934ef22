"""Manifolds learnt by a mixture of charts, and inverse problems on them."""

from pyro_hea.charts.alloys import AlloyAtlas
from pyro_hea.charts.atlas import Atlas
from pyro_hea.charts.descent import Descent
from pyro_hea.charts.objectives import misfit
from pyro_hea.charts.toys import Toy, toy

__all__ = ["AlloyAtlas", "Atlas", "Descent", "Toy", "misfit", "toy"]
