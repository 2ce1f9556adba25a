"""The four documents that people write, `apiVersion: undrift.dev/v1alpha1`.

Kubernetes conventions: camelCase fields, PascalCase enums, Go durations; `metadata` holds name, labels and annotations.
Fields that belong to a later part are named in `NOT_YET`, so that writing one is an error and never ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Literal

from pydantic import Field, model_validator

from reconciler.model.spec import (
    ClusterAccess,
    ClusterDrift,
    DriftPolicy,
    Duration,
    KindRule,
    Ref,
    RenderOptions,
    RepositoryCredentials,
    RepositoryLimits,
    Spec,
    SyncPolicy,
)

API_VERSION = "undrift.dev/v1alpha1"
NAME = r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$"

NOT_YET: Mapping[str, Mapping[str, str]] = {
    "Application": {
        "rollout": "staged rollouts",
        "deletionPolicy": "graceful leaving",
        "deletionGracePeriod": "graceful leaving",
        "movedFrom": "moving",
        "ignoreDifferences": "ignored fields",
        "dependsOn": "dependencies",
        "healthChecks": "health expressions",
        "policy": "policy as code",
    },
    "Cluster": {"values": "values per cluster"},
    "Project": {"guards": "tighter brakes", "members": "roles"},
    "Repository": {"verify": "signature checks"},
}


class Metadata(Spec):
    """Names a document. Labels are what selectors look at."""

    name: str = Field(pattern=NAME)
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


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
    """Clusters that a selection leaves out."""

    names: tuple[str, ...] = ()
    match_labels: dict[str, str] = {}


class ClusterSelector(Spec):
    """A set of clusters: those named, and those whose labels match everything asked. Empty is an error, never all."""

    names: tuple[str, ...] = ()
    match_labels: dict[str, str] = {}
    match_expressions: tuple[MatchExpression, ...] = ()
    exclude: Exclusion = Exclusion()
    all: bool = False

    @model_validator(mode="after")
    def _selects_something(self) -> ClusterSelector:
        if not (self.names or self.match_labels or self.match_expressions or self.all):
            raise ValueError(
                "an empty selector selects nothing; write names, matchLabels, matchExpressions or all: true"
            )
        return self

    def matches(self, name: str, labels: Mapping[str, str]) -> bool:
        """Whether a cluster is in the set."""
        if name in self.exclude.names or _has_all(labels, self.exclude.match_labels, empty=False):
            return False
        if self.all or name in self.names:
            return True
        if not (self.match_labels or self.match_expressions):
            return False
        return _has_all(labels, self.match_labels, empty=True) and all(
            one.matches(labels) for one in self.match_expressions
        )


def _has_all(labels: Mapping[str, str], wanted: Mapping[str, str], *, empty: bool) -> bool:
    """Whether labels hold all that is wanted; `empty` is the answer when nothing is."""
    return all(labels.get(key) == value for key, value in wanted.items()) if wanted else empty


class ApplicationSource(Spec):
    """Where manifests come from."""

    repo: str
    ref: Ref = Ref(branch="main")
    path: str = "."


class Override(Spec):
    """What differs on some clusters: merged over the application's own, maps deep, lists replaced."""

    clusters: ClusterSelector
    render: dict[str, Any] = {}
    sync: dict[str, Any] = {}
    namespace: str | None = None


class ApplicationSpec(Spec):
    """What to run, how to render it, and on which clusters."""

    project: str = "default"
    source: ApplicationSource | None = None
    sources: tuple[ApplicationSource, ...] = ()
    render: RenderOptions = RenderOptions()
    clusters: ClusterSelector
    namespace: str | None = Field(None, pattern=NAME)
    overrides: tuple[Override, ...] = ()
    sync: SyncPolicy = SyncPolicy()
    drift: DriftPolicy = DriftPolicy()

    @model_validator(mode="after")
    def _one_source(self) -> ApplicationSpec:
        if (self.source is None) == (not self.sources):
            raise ValueError("expected exactly one of source and sources")
        if len(self.sources) > 1:
            raise ValueError("several sources are not supported yet; write one")
        return self

    @property
    def the_source(self) -> ApplicationSource:
        return self.source or self.sources[0]


class ClusterSpec(Spec):
    """A place to run applications, and the way to it."""

    access: ClusterAccess
    drift: ClusterDrift = ClusterDrift()
    mode: Literal["Active", "Observe"] = "Active"


class AllowedClusters(Spec):
    """The clusters that a project's applications may run on."""

    names: tuple[str, ...] = ()
    match_labels: dict[str, str] = {}


class ProjectSpec(Spec):
    """A tenant. It allows what it lists; a missing list allows nothing; `*` allows any."""

    description: str = ""
    repos: tuple[str, ...] = ()
    """URL prefixes on path boundaries, or `*`."""
    clusters: AllowedClusters = AllowedClusters()
    namespaces: tuple[str, ...] = ()
    cluster_kinds: tuple[KindRule, ...] = ()
    namespaced_kinds: tuple[KindRule, ...] = ()


class RepositorySpec(Spec):
    """How to reach the Git repositories whose URL begins with `url`."""

    url: str = Field(min_length=1)
    credentials: RepositoryCredentials = RepositoryCredentials()
    limits: RepositoryLimits = RepositoryLimits()
    poll: Duration = timedelta(seconds=60)


class _Document(Spec):
    api_version: Literal["undrift.dev/v1alpha1"]
    metadata: Metadata


class Application(_Document):
    kind: Literal["Application"]
    spec: ApplicationSpec


class Cluster(_Document):
    kind: Literal["Cluster"]
    spec: ClusterSpec


class Project(_Document):
    kind: Literal["Project"]
    spec: ProjectSpec


class Repository(_Document):
    kind: Literal["Repository"]
    spec: RepositorySpec


Document = Application | Cluster | Project | Repository
KINDS: Mapping[str, type[Application] | type[Cluster] | type[Project] | type[Repository]] = {
    "Application": Application,
    "Cluster": Cluster,
    "Project": Project,
    "Repository": Repository,
}
