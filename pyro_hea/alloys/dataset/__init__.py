"""Tables of alloys, their labels and splits; the only place where tables become tensors.

Examples
--------
>>> alloys = load_alloys("zeng2024")
>>> list(alloys.split("published"))
['labelled', 'unlabelled', 'validation', 'test']
"""

from pyro_hea.alloys.dataset.batch import AlloyBatch, to_batch
from pyro_hea.alloys.dataset.embedded import PUBLISHED_SOURCE, load_alloys
from pyro_hea.alloys.dataset.gathering import labels_from_reports
from pyro_hea.alloys.dataset.labels import (
    encode_labels,
    encode_values,
    label_conditions,
    measurements,
    report_counts,
)
from pyro_hea.alloys.dataset.reading import read_alloys, read_formulas
from pyro_hea.alloys.dataset.statistics import Statistics, quantile_edges
from pyro_hea.alloys.dataset.table import (
    PARTS,
    AlloyDataset,
    AlloyRecord,
    composition_keys,
    element_sets,
)

__all__ = [
    "PARTS",
    "PUBLISHED_SOURCE",
    "AlloyBatch",
    "AlloyDataset",
    "AlloyRecord",
    "Statistics",
    "composition_keys",
    "element_sets",
    "encode_labels",
    "encode_values",
    "label_conditions",
    "labels_from_reports",
    "load_alloys",
    "measurements",
    "quantile_edges",
    "read_alloys",
    "read_formulas",
    "report_counts",
    "to_batch",
]
