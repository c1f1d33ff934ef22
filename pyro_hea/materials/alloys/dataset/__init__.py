"""Tables of alloys, their labels and splits; the only place where tables become tensors.

Examples
--------
>>> alloys = load_alloys("zeng2024")
>>> list(alloys.split("published"))
['labelled', 'unlabelled', 'validation', 'test']
"""

from pyro_hea.materials.alloys.dataset.batch import AlloyBatch, to_batch
from pyro_hea.materials.alloys.dataset.columns import is_condition
from pyro_hea.materials.alloys.dataset.conditions import (
    Reference,
    class_columns,
    condition_key,
    encode_condition,
    labels_at_conditions,
    labels_by_processing,
    measurements,
    references,
)
from pyro_hea.materials.alloys.dataset.embedded import PUBLISHED_SOURCE, load_alloys
from pyro_hea.materials.alloys.dataset.gathering import labels_from_reports, tested_elsewhere
from pyro_hea.materials.alloys.dataset.labels import (
    encode_labels,
    encode_values,
    report_counts,
)
from pyro_hea.materials.alloys.dataset.reading import read_alloys, read_formulas
from pyro_hea.materials.alloys.dataset.spreadsheets import inert
from pyro_hea.materials.alloys.dataset.statistics import Statistics, quantile_edges
from pyro_hea.materials.alloys.dataset.table import (
    PARTS,
    AlloyDataset,
    AlloyRecord,
    composition_keys,
    element_sets,
)
from pyro_hea.materials.alloys.dataset.temperatures import absolute_zero, temperature_scale

__all__ = [
    "PARTS",
    "PUBLISHED_SOURCE",
    "AlloyBatch",
    "AlloyDataset",
    "AlloyRecord",
    "Reference",
    "Statistics",
    "absolute_zero",
    "class_columns",
    "composition_keys",
    "condition_key",
    "element_sets",
    "encode_condition",
    "encode_labels",
    "encode_values",
    "inert",
    "is_condition",
    "labels_at_conditions",
    "labels_by_processing",
    "labels_from_reports",
    "load_alloys",
    "measurements",
    "quantile_edges",
    "read_alloys",
    "read_formulas",
    "references",
    "report_counts",
    "temperature_scale",
    "tested_elsewhere",
    "to_batch",
]
