"""Clusters of alloys: by a rule on compositions, by a target, or by a column of a table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pandas as pd

from pyro_hea.errors import DataError, listing, nearest
from pyro_hea.explain.factors import FAMILIES
from pyro_hea.materials.alloys.composition import fraction_table
from pyro_hea.materials.alloys.dataset import AlloyDataset, composition_keys
from pyro_hea.posterior import predict
from pyro_hea.program.separable import UNKNOWN_CLUSTER
from pyro_hea.spec import Binary, Continuous

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.posterior import Ensemble

    Codes: TypeAlias = NDArray[np.int64]
    Key: TypeAlias = tuple[tuple[str, int], ...]
    Rule: TypeAlias = Callable[[pd.DataFrame], "pd.Series[bool] | NDArray[np.bool_]"]

SMALLEST = 10
"""Alloys that a cluster holds at least."""

PRESENT = 0.01
"""Fraction from which on an alloy holds an element."""


@dataclass(frozen=True, eq=False)
class Clusters:
    """Names of clusters, and which alloy is in which.

    Attributes
    ----------
    names : tuple of str
    about : str
        What they are clusters by.
    target : str or None
        The target whose classes they are.
    rule : callable or None
        From fractions (N, E) to positions in `names`, `UNKNOWN_CLUSTER` for an alloy in none.
        None where no composition tells the cluster: for a column, and for lists of alloys.
    given : mapping or None
        Positions by composition, where there is no rule.
    values : tuple
        Of a target: the label of each cluster.
    """

    names: tuple[str, ...]
    about: str
    target: str | None = None
    rule: Callable[[pd.DataFrame], Codes] | None = None
    given: Mapping[Key, int] | None = None
    values: tuple[str | int, ...] = ()

    def position(self, name: str) -> int:
        """Position of a cluster.

        Raises
        ------
        DataError
            For a cluster that there is not.
        """
        if name not in self.names:
            raise DataError(
                f"there is no cluster {name!r} by {self.about}.{nearest(name, self.names)} "
                f"Clusters: {', '.join(self.names)}"
            )
        return self.names.index(name)

    def of(self, alloys: AlloyDataset | pd.DataFrame) -> Codes:
        """Cluster of each alloy, as far as it is known, (N,).

        A target's is the label; alloys of a bare table have none.
        """
        fractions = alloys.fractions if isinstance(alloys, AlloyDataset) else alloys
        if self.target is not None:
            if not isinstance(alloys, AlloyDataset):
                return np.full(len(fractions), UNKNOWN_CLUSTER)
            labels = alloys.labels.get(self.target, pd.Series(np.nan, fractions.index))
            place: dict[object, int] = {value: i for i, value in enumerate(self.values)}
            return np.array([place.get(label, UNKNOWN_CLUSTER) for label in labels], np.int64)
        if self.rule is not None:
            return self.rule(fractions)
        given = self.given or {}
        keys = composition_keys(fractions)
        return np.array([given.get(key, UNKNOWN_CLUSTER) for key in keys], np.int64)

    def only(self, names: Sequence[str]) -> Clusters:
        """Some of the clusters; alloys of the others are in none.

        Raises
        ------
        DataError
            For a cluster that there is not, or fewer than two.
        """
        kept = [self.position(name) for name in names]
        if len(set(kept)) < 2:
            raise DataError(f"two clusters at least are told apart, not {len(set(kept))}")
        new = np.full(len(self.names) + 1, UNKNOWN_CLUSTER)  # the last is that of -1
        new[kept] = np.arange(len(kept))
        rule, given = self.rule, self.given
        return Clusters(
            tuple(names),
            self.about,
            self.target,
            None if rule is None else lambda fractions: new[rule(fractions)],
            None if given is None else {key: int(new[code]) for key, code in given.items()},
            tuple(self.values[i] for i in kept) if self.values else (),
        )

    def check_sizes(self, codes: Codes) -> None:
        """Refuse clusters of fewer than `SMALLEST` alloys.

        Raises
        ------
        DataError
            Naming them, and the others.
        """
        sizes = np.bincount(codes[codes >= 0], minlength=len(self.names))
        small = [f"{n} ({s})" for n, s in zip(self.names, sizes, strict=True) if s < SMALLEST]
        if small:
            large = [n for n, s in zip(self.names, sizes, strict=True) if s >= SMALLEST]
            mend = f"leave them out: only={large}" if len(large) > 1 else "give more alloys"
            raise DataError(
                f"a cluster needs {SMALLEST} alloys; fewer are in {', '.join(small)}. {mend}"
            )


def read_clusters(
    clusters: str | Mapping[str, Rule | Iterable[str]],
    ensemble: Ensemble,
    alloys: AlloyDataset | None,
) -> Clusters:
    """Clusters from what a user writes.

    Parameters
    ----------
    clusters : str or mapping
        `"family"` (that with the largest share of the atoms), `"principal_element"`,
        `"holds Al"` of any element, a target of the model or a column of the alloys' reports; or
        by name a rule, which takes a table of fractions and says of each alloy whether it is in
        the cluster, or a list of alloys.
    ensemble : Ensemble
    alloys : AlloyDataset or None
        With labels of the target, or with the column.

    Raises
    ------
    DataError
        For an unknown rule, clusters that overlap, or a number.
    """
    if isinstance(clusters, Mapping):
        return _from_mapping(clusters)
    elements = list(ensemble.elements)
    if clusters == "family":
        return Clusters(tuple(FAMILIES), "family", rule=_family)
    if clusters == "principal_element":
        return Clusters(tuple(elements), "principal element", rule=_principal(elements))
    if clusters.startswith("holds ") and clusters.removeprefix("holds ") in elements:
        return _holds(clusters.removeprefix("holds "))
    if clusters in ensemble.spec.target_names:
        return _of_target(clusters, ensemble)
    columns = [] if alloys is None else [*map(str, alloys.reports.columns)]
    if clusters in columns:
        assert alloys is not None
        return _of_column(clusters, alloys)
    rules = ["family", "principal_element", f"holds {elements[0]}"]
    allowed = [*rules, *ensemble.spec.target_names, *columns]
    raise DataError(
        f"there are no clusters by {clusters!r}.{nearest(clusters, allowed)} Give a rule "
        f"({', '.join(map(repr, rules))}), a target ({', '.join(ensemble.spec.target_names)}), "
        f"a column of the alloys ({listing(columns) or 'none were given'}), or a mapping"
    )


def _family(fractions: pd.DataFrame) -> Codes:
    shares = np.stack(
        [
            fractions.reindex(columns=list(members), fill_value=0.0).sum(axis=1).to_numpy()
            for members in FAMILIES.values()
        ],
        axis=1,
    )
    return np.where(shares.max(1) > 0, shares.argmax(1), UNKNOWN_CLUSTER)


def _principal(elements: list[str]) -> Callable[[pd.DataFrame], Codes]:
    def rule(fractions: pd.DataFrame) -> Codes:
        return np.asarray(
            fractions.reindex(columns=elements, fill_value=0.0).to_numpy().argmax(1), np.int64
        )

    return rule


def _holds(element: str) -> Clusters:
    def rule(fractions: pd.DataFrame) -> Codes:
        held = fractions.get(element, pd.Series(0.0, fractions.index))
        return (held.to_numpy() >= PRESENT).astype(np.int64)

    return Clusters((f"no {element}", f"holds {element}"), f"whether it holds {element}", rule=rule)


def _of_target(name: str, ensemble: Ensemble) -> Clusters:
    target = ensemble.spec.target(name)
    if isinstance(target, Continuous):
        raise DataError(
            f"'{name}' is a number, which has no clusters; give a mapping of rules, or a target of "
            "classes"
        )
    names: tuple[str, ...]
    values: tuple[str | int, ...]
    if isinstance(target, Binary):
        values, names = (0, 1), (f"{name} = 0", f"{name} = 1")
    else:
        values = names = tuple(target.classes)

    def predicted(fractions: pd.DataFrame) -> Codes:
        guess = predict(ensemble, fractions)[name]
        if isinstance(target, Binary):
            return (guess.to_numpy() > 0.5).astype(np.int64)
        return np.array([names.index(str(value)) for value in guess])

    return Clusters(names, f"the target '{name}'", name, predicted, values=values)


def _of_column(name: str, alloys: AlloyDataset) -> Clusters:
    values = alloys.reports.groupby("formula")[name].agg(lambda v: v.dropna().unique().tolist())
    several = [str(f) for f, v in values.items() if len(v) > 1]
    if several:
        raise DataError(
            f"the column '{name}' puts an alloy into several clusters, and no rule says which: "
            f"{listing(several, 5)}. Give a mapping of rules"
        )
    one = values.map(lambda v: str(v[0]) if v else None).dropna()
    names = tuple(sorted(one.unique()))
    if not 2 <= len(names) <= 50:
        raise DataError(f"the column '{name}' has {len(names)} values; 2 to 50 make clusters")
    keys = composition_keys(alloys.fractions.loc[one.index])
    given = dict(zip(keys, one.map(names.index), strict=True))
    return Clusters(names, f"the column '{name}'", given=given)


def _from_mapping(clusters: Mapping[str, Rule | Iterable[str]]) -> Clusters:
    names = tuple(map(str, clusters))
    if len(names) < 2:
        raise DataError(f"two clusters at least are told apart, not {len(names)}")
    if all(callable(rule) for rule in clusters.values()):
        rules = [rule for rule in clusters.values() if callable(rule)]

        def assign(fractions: pd.DataFrame) -> Codes:
            inside = np.stack([np.asarray(rule(fractions), bool) for rule in rules], 1)
            _refuse_overlaps(inside, names, fractions.index)
            return np.where(inside.any(1), inside.argmax(1), UNKNOWN_CLUSTER)

        return Clusters(names, "rules of your own", rule=assign)
    lists = [listed for listed in clusters.values() if not callable(listed)]
    if len(lists) < len(clusters):
        raise DataError("clusters are all rules or all lists of alloys, not some of each")
    formulas: dict[Key, str] = {}
    members: list[set[Key]] = []
    for listed in lists:
        table = fraction_table(list(listed))
        keys = composition_keys(table)
        members.append(set(keys))
        formulas = dict(zip(keys, table.index, strict=True)) | formulas
    inside = np.array([[key in some for some in members] for key in formulas])
    _refuse_overlaps(inside, names, pd.Index(formulas.values()))
    given = dict(zip(formulas, inside.argmax(1).tolist(), strict=True))
    return Clusters(names, "lists of alloys", given=given)


def _refuse_overlaps(inside: NDArray[np.bool_], names: tuple[str, ...], formulas: pd.Index) -> None:
    twice = np.flatnonzero(inside.sum(1) > 1)
    if len(twice):
        both = " and ".join(repr(names[i]) for i in np.flatnonzero(inside[twice[0]]))
        raise DataError(
            f"clusters overlap: {len(twice)} alloys are in more than one, such as "
            f"'{formulas[twice[0]]}' in {both}; give rules of which one holds at most"
        )
