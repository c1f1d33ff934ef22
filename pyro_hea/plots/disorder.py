"""Disorder: thermodynamics, short-range order, and what sets an energy."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from pyro_hea.plots._labels import label_width, readable
from pyro_hea.plots._style import (
    BLUE,
    GREEN,
    LIGHT_GREY,
    LINES,
    MARKERS,
    ORANGE,
    PURPLE,
    REFERENCE,
    SKY,
    VERMILION,
    label_rows,
    legend_right,
    require_columns,
    styled_axes,
)

_COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
