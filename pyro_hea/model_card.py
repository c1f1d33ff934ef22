"""Model cards: what a model was trained on, how, and where it stops, written from the model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from pyro_hea.files import write_text
from pyro_hea.program.sites import ContinuousSite
from pyro_hea.spec import Continuous
from pyro_hea.spec.display import spec_differences

if TYPE_CHECKING:
    from pyro_hea.inference import EpochRecord, Trainer
    from pyro_hea.materials.alloys.dataset import AlloyDataset
    from pyro_hea.posterior import Ensemble
    from pyro_hea.spec import ModelSpec, Target

CARD, FACTS = "model_card.md", "model_card.json"
"""Files of a saved model: the card, and the facts of its training that no weight tells."""

_MANY = 12
"""Sources named; a table of a user may have one a row."""

_LIMITS = (
    "Predictions of alloys with other elements lean on the prior, with a warning.",
    "Alloys that resemble no training alloy are predicted less well than the intervals say: "
    "calibration is measured on alloys like those of the training data.",
    "The data are compositions with reported properties. What is not in the columns (impurities, "
    "cooling rate, grain size) is scatter to the model.",
    "Probabilities and intervals are statements of a model. Cast and measure before you rely on "
    "an alloy.",
)


def training_facts(
    spec: ModelSpec,
    data: AlloyDataset,
    trainer: Trainer,
    records: Sequence[EpochRecord],
) -> dict[str, Any]:
    """What a card tells of a training, as JSON can hold it."""
    return {
        "alloys": len(data),
        "held_out": 0 if trainer.validation is None else len(trainer.validation),
        "folds": {name: int(fold.max()) + 1 for name, fold in trainer.data.label_folds.items()},
        "epochs": records[-1].epoch if records else 0,
        "targets": {target.name: _labels(target, data) for target in spec.targets},
    }


def _labels(target: Target, data: AlloyDataset) -> dict[str, Any]:
    labels = data.labels[target.name].dropna()
    reports = data.reports[data.reports["target"] == target.name]
    found: dict[str, Any] = {"labels": len(labels), "reports": len(reports)}
    if "source" in reports:
        counts = reports["source"].astype(str).value_counts()
        found["sources"] = {name: int(count) for name, count in counts.items()}
    if isinstance(target, Continuous):
        low, middle, high = labels.astype(float).quantile([0, 0.5, 1])
        found["range"] = f"{low:.4g} to {high:.4g} {target.unit}, median {middle:.4g}"
    else:
        counts = labels.value_counts()
        found["classes"] = {
            f"{name:g}" if isinstance(name, float) else str(name): int(count)
            for name, count in counts.items()
        }
    for name, reference in target.conditions.items():
        if name not in reports:
            continue
        if isinstance(reference, tuple):
            counts = reports[name].dropna().astype(str).value_counts()
            said = ", ".join(f"{value} ({count})" for value, count in counts.items())
        else:
            at = pd.to_numeric(reports[name], errors="coerce").dropna()
            said = f"{at.min():g} to {at.max():g}" if len(at) else ""
        if said:
            found.setdefault("conditions", {})[name] = said
    return found


def model_card(ensemble: Ensemble, facts: Mapping[str, Any] | None) -> str:
    """The card of a trained model, in Markdown.

    Parameters
    ----------
    ensemble : Ensemble
    facts : mapping, optional
        As of `training_facts`; without them the card says that they were not recorded.
    """
    spec, facts = ensemble.spec, facts or {}
    sizes = (ensemble.known > 0).sum(axis=1)
    lines = [
        f"# Model card: {', '.join(spec.target_names)}",
        "",
        f"A disentangled variational autoencoder of alloys ({ensemble.members} members), trained "
        f"with pyro_hea {version('pyro-hea')}, seed {ensemble.seed}.",
        "",
        "## Data",
        "",
        f"- {len(ensemble.known)} alloys of {len(ensemble.elements)} elements "
        f"({', '.join(ensemble.elements)}), {sizes.min()} to {sizes.max()} in an alloy.",
    ]
    recorded = facts.get("targets", {})
    lines += [_target_line(target, recorded.get(target.name)) for target in spec.targets]
    lines += ["", "## Spec", "", *_spec_lines(spec)]
    lines += ["", "## Training and calibration", ""]
    if facts:
        held = facts.get("held_out", 0)
        stop = f"early stopping by {held} alloys" if held else "no alloys held out for stopping"
        lines.append(f"- {facts['epochs']} epochs; {stop}.")
        lines += [
            f"- Labels of `{name}` in {count} folds; each member is trained without one of them."
            for name, count in facts.get("folds", {}).items()
        ]
    lines += _calibration_lines(ensemble)
    lines += ["", "## Limits", "", *(f"- {limit}" for limit in _LIMITS), ""]
    return "\n".join(lines)


def _target_line(target: Target, labels: Mapping[str, Any] | None) -> str:
    line = f"- `{target.name}` ({target.kind})"
    if labels is None:
        return f"{line}: its labels were not recorded."
    line += f": {labels['labels']} labels from {labels['reports']} reports"
    if classes := labels.get("classes"):
        line += "; " + ", ".join(f"{name}: {count}" for name, count in classes.items())
    if "range" in labels:
        line += f"; {labels['range']}"
    for name, values in labels.get("conditions", {}).items():
        line += f"; {name} {values}"
    if sources := labels.get("sources"):
        some = list(sources.items())[:_MANY]
        line += "; sources: " + ", ".join(f"{name} ({count})" for name, count in some)
        line += f" and {len(sources) - _MANY} more" if len(sources) > _MANY else ""
    return f"{line}."


def _spec_lines(spec: ModelSpec) -> list[str]:
    lines = [f"- prior of `{t.name}`: {t.prior!r}" for t in spec.targets if t.prior is not None]
    settings = [f"- `{key}`: {value}" for key, value in spec_differences(spec).items()]
    if not settings:
        return [*lines, "- Every other setting is the default."]
    return [*lines, "", "What differs from the default settings:", "", *settings]


def _calibration_lines(ensemble: Ensemble) -> list[str]:
    lines = []
    for target in ensemble.spec.targets:
        site = ensemble.model.site(target.name)
        if site.calibration is None:
            lines.append(f"- `{target.name}`: not calibrated.")
            continue
        values = ", ".join(f"{float(value):.3g}" for value in site.calibration)
        what = "of the spread" if isinstance(site, ContinuousSite) else "of the log odds"
        lines.append(
            f"- `{target.name}`: {target.calibration} calibration {what} by labels held out of "
            f"the training of each member: {values}."
        )
    return lines


def write_card(folder: str | Path, ensemble: Ensemble, facts: Mapping[str, Any] | None) -> None:
    """Write the card and the facts beside a saved model.

    Raises
    ------
    OutputError
        Where the folder cannot be written.
    """
    write_text(Path(folder, CARD), model_card(ensemble, facts), make_folder=True)
    if facts:
        text = json.dumps(facts, indent=1, ensure_ascii=False) + "\n"
        write_text(Path(folder, FACTS), text)


def read_facts(folder: str | Path) -> dict[str, Any] | None:
    """The facts of a saved model's training, None where they are missing or damaged."""
    try:
        facts = json.loads(Path(folder, FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return facts if isinstance(facts, dict) else None
