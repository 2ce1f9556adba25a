"""Which clusters an application, an override or a project means.

The words are Kubernetes' (matchLabels, matchExpressions). An empty selector is an error and never "everything"
(invariant 13); all clusters are meant by `all: true` alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import model_validator

from reconciler.model.shape import Spec


class MatchExpression(Spec):
    """One label requirement, as Kubernetes has it."""

    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _values_fit(self) -> MatchExpression:
        if self.operator in ("In", "NotIn") and not self.values:
            raise ValueError(f"operator {self.operator} needs values")
        if self.operator in ("Exists", "DoesNotExist") and self.values:
            raise ValueError(f"operator {self.operator} takes no values")
        return self

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether labels meet the requirement; NotIn is met by a missing label, as Kubernetes has it."""
        if self.operator == "Exists":
            return self.key in labels
        if self.operator == "DoesNotExist":
            return self.key not in labels
        return (labels.get(self.key) in self.values) == (self.operator == "In")


class Exclusion(Spec):
    """Clusters that a selection leaves out: those named, and those that carry all these labels."""

    names: tuple[str, ...] = ()
    match_labels: dict[str, str] = {}

    def matches(self, name: str, labels: Mapping[str, str]) -> bool:
        """Whether a cluster is left out."""
        return name in self.names or (bool(self.match_labels) and _has_all(labels, self.match_labels))


class ClusterSelector(Spec):
    """A set of clusters: those named, and those whose labels match everything asked. Empty is an error, never all."""

    names: tuple[str, ...] = ()
    match_labels: dict[str, str] = {}
    match_expressions: tuple[MatchExpression, ...] = ()
    exclude: Exclusion = Exclusion()
    all: bool = False

    @model_validator(mode="after")
    def _selects_something(self) -> ClusterSelector:
        asked = self.names or self.match_labels or self.match_expressions
        if not (asked or self.all):
            raise ValueError(
                "an empty selector selects nothing; write names, matchLabels, matchExpressions or all: true"
            )
        if asked and self.all:
            raise ValueError("`all: true` already selects every cluster; write it alone, or with exclude")
        return self

    def matches(self, name: str, labels: Mapping[str, str]) -> bool:
        """Whether a cluster is in the set."""
        if self.exclude.matches(name, labels):
            return False
        if self.all or name in self.names:
            return True
        if not (self.match_labels or self.match_expressions):
            return False
        return _has_all(labels, self.match_labels) and all(one.matches(labels) for one in self.match_expressions)


class AllowedClusters(Spec):
    """The clusters that a project's applications may run on: those named (`*` for any), and those with all labels."""

    names: tuple[str, ...] = ()
    match_labels: dict[str, str] = {}

    def matches(self, name: str, labels: Mapping[str, str]) -> bool:
        """Whether a cluster is allowed; with nothing listed, none is."""
        return bool({"*", name} & set(self.names)) or (bool(self.match_labels) and _has_all(labels, self.match_labels))


def _has_all(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in wanted.items())
