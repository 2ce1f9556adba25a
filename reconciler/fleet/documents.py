"""The four documents that people write, `apiVersion: undrift.dev/v1alpha1`.

Kubernetes conventions: camelCase fields, PascalCase enums, Go durations; `metadata` holds name, labels and annotations.
The option groups are those of `reconciler.model.spec`. What belongs to a later part stands in `later`, so that writing
it is an error and is never ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints, WithJsonSchema, model_validator
from pydantic.alias_generators import to_camel

from reconciler.fleet.selectors import AllowedClusters, ClusterSelector
from reconciler.fleet.urls import is_url
from reconciler.fleet.values import OPENING, has_single_names, is_value
from reconciler.model.drift import DriftPolicy, IgnoredDifference
from reconciler.model.instance import DEFAULT_PROJECT
from reconciler.model.rules import Guards, KindRule
from reconciler.model.shape import Duration, Spec
from reconciler.model.spec import (
    LONGEST_FETCH,
    ClusterAccess,
    ClusterDrift,
    Ref,
    RenderOptions,
    RepositoryCredentials,
    RepositoryLimits,
    SyncPolicy,
)
from reconciler.objects.keys import SYSTEM_NAMESPACE

API_VERSION = "undrift.dev/v1alpha1"
NAME = r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$"
LABEL = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
"""A DNS label, as a namespace is one. A project's too: `undrift.<project>.<application>` must be readable one way."""
LABEL_OR_ANY = rf"^\*$|{LABEL}"
LABEL_OR_FILLED = rf"{LABEL}|\$\{{"
"""With a placeholder, what comes of it is checked once it is filled in."""
MOST_LIMITS = {"size_bytes": 16 << 30, "objects": 50_000_000, "object_bytes": 512 << 20}
"""An object is held whole in memory while it is indexed."""
LABEL_VALUE = r"^([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$"

Name = Annotated[str, StringConstraints(pattern=NAME)]
LabelText = Annotated[str, StringConstraints(pattern=LABEL)]
LabelValue = Annotated[str, StringConstraints(pattern=LABEL_VALUE)]


def is_own_namespace(name: str) -> str:
    """The name unchanged. Raises ValueError when it is the namespace of Undrift's inventories."""
    if name == SYSTEM_NAMESPACE:
        raise ValueError(f"expected another namespace than {SYSTEM_NAMESPACE}, where inventories are kept")
    return name


Namespace = Annotated[str, StringConstraints(pattern=LABEL_OR_FILLED), AfterValidator(is_own_namespace)]
NamespaceOrAny = Annotated[str, StringConstraints(pattern=LABEL_OR_ANY)]
CredentialPattern = Annotated[str, StringConstraints(min_length=1)]
RepositoryUrl = Annotated[str, AfterValidator(is_url)]


def _is_url_or_any(url: str) -> str:
    return url if url == "*" else is_url(url)


UrlOrAny = Annotated[str, AfterValidator(_is_url_or_any)]


def is_inside(path: str) -> str:
    """The path unchanged. Raises ValueError when it is none of a folder inside the repository."""
    parts = path.split("/")
    if not path or path.startswith("/") or ".." in parts or "\\" in path or "\x00" in path:
        raise ValueError("expected a folder inside the repository, written from its root, without `..`")
    return path


def _is_inside_once_filled(path: str) -> str:
    return path if OPENING in path else is_inside(path)


FolderPath = Annotated[str, StringConstraints(min_length=1), AfterValidator(_is_inside_once_filled)]
ClusterValue = Annotated[
    Any,
    AfterValidator(is_value),
    WithJsonSchema({"type": ["string", "number", "boolean", "object"], "description": "Maps may hold the same again."}),
]


class Metadata(Spec):
    """Names a document. Labels are what selectors look at."""

    name: Name
    labels: dict[str, LabelValue] = {}
    annotations: dict[str, str] = {}


class ProjectMetadata(Metadata):
    """Names a project."""

    name: LabelText


class ApplicationSource(Spec):
    """Where manifests come from: a folder of a Git repository. A bare `ref` is a branch."""

    repo: RepositoryUrl
    ref: Ref = Ref(branch="main")
    path: FolderPath = "."
    """May hold placeholders, as a branch or tag may."""


class SourceOverride(Spec):
    """Another ref or folder of the same repository."""

    ref: Ref | None = None
    path: FolderPath | None = None


class Override(Spec):
    """What differs on some clusters: merged over the application's own in order, maps deep, lists replaced."""

    clusters: ClusterSelector
    source: SourceOverride = SourceOverride()
    render: RenderOptions = RenderOptions()
    namespace: Namespace | None = None
    sync: SyncPolicy = SyncPolicy()
    drift: DriftPolicy = DriftPolicy()


class MovedFrom(Spec):
    """An earlier name or place of an application. What is left out was the same as now."""

    project: LabelText | None = None
    name: Name | None = None
    cluster: Name | None = None

    @model_validator(mode="after")
    def _names_something(self) -> MovedFrom:
        if self.project is None and self.name is None and self.cluster is None:
            raise ValueError("expected project, name or cluster")
        return self


class ApplicationSpec(Spec):
    """What to run, how to render it, and on which clusters."""

    project: LabelText = DEFAULT_PROJECT
    """Its name is its own within the project: another project may use it, too."""
    source: ApplicationSource | None = None
    sources: tuple[ApplicationSource, ...] = ()
    """The same as a list; this version takes exactly one."""
    render: RenderOptions = RenderOptions()
    clusters: ClusterSelector
    namespace: Namespace | None = None
    """For namespaced objects that name none. May hold placeholders."""
    overrides: tuple[Override, ...] = ()
    sync: SyncPolicy = SyncPolicy()
    drift: DriftPolicy = DriftPolicy()
    deletion_policy: Literal["Delete", "Orphan"] = "Delete"
    """What becomes of its objects when this document is removed: deleted, or left as they are."""
    deletion_grace_period: Duration = Field(timedelta(hours=1), ge=timedelta(0))
    """How long its removal may be taken back before anything is deleted."""
    moved_from: tuple[MovedFrom, ...] = ()
    """What it was called, or where it ran, before: its objects are taken over as they are, and never deleted between. From
    another project only where that one's `movesTo` lists this application's."""
    ignore_differences: tuple[IgnoredDifference, ...] = ()
    """Fields left to other writers: sent when an object is created, not afterwards."""

    @model_validator(mode="after")
    def _one_source(self) -> ApplicationSpec:
        if (self.source is None) == (not self.sources):
            raise ValueError("expected exactly one of source and sources")
        if len(self.sources) > 1:
            raise ValueError(f"several sources are not supported yet; found {len(self.sources)}, expected one")
        return self

    @property
    def the_source(self) -> ApplicationSource:
        """The one source of part 1."""
        return self.source or self.sources[0]

    @property
    def source_path(self) -> tuple[str | int, ...]:
        """Where that source is written."""
        return ("spec", "source") if self.source else ("spec", "sources", 0)


class ClusterSpec(Spec):
    """A place to run applications, and the way to it."""

    access: ClusterAccess
    values: Annotated[dict[str, ClusterValue], AfterValidator(has_single_names)] = {}
    """Text, numbers, true, false and maps of these, which applications use as `${cluster.values.…}`. No place for secrets:
    every application on the cluster may use them, of any project, and what uses them stands filled in in Redis."""
    drift: ClusterDrift = ClusterDrift()
    mode: Literal["Active", "Observe"] = "Active"
    """`Observe`: nothing is ever written to the cluster."""


class AllowedCredentials(Spec):
    """The references that credentials of the project's Repositories may have, by kind; `*` stands for any text."""

    env: tuple[CredentialPattern, ...] = ()
    """Names of environment variables, such as `UNDRIFT_CRED_SHOP_*`."""
    file: tuple[CredentialPattern, ...] = ()
    """Paths below the credentials folder, such as `shop/*`."""
    secret: tuple[CredentialPattern, ...] = ()
    """`namespace/name/key`, such as `shop/*`."""


class ProjectSpec(Spec):
    """A tenant. It allows what it lists; a missing list allows nothing; `*` allows any."""

    description: str = ""
    mode: Literal["Active", "Observe"] = "Active"
    """`Observe`: nothing is written for any of its applications."""
    repos: tuple[UrlOrAny, ...] = ()
    """URLs of repositories, or of folders of them on the host; `*` for any on a host. One on the workers' own disk
    (`file:///…`) is listed by its folder, or those above it."""
    credentials: AllowedCredentials = AllowedCredentials()
    clusters: AllowedClusters = AllowedClusters()
    namespaces: tuple[NamespaceOrAny, ...] = ()
    cluster_kinds: tuple[KindRule, ...] = ()
    namespaced_kinds: tuple[KindRule, ...] = ()
    moves_to: tuple[NamespaceOrAny, ...] = ()
    """Projects whose applications may say by `movedFrom` that they were one of this project's; `*` for any."""
    guards: Guards = Guards()


def are_bounded(limits: RepositoryLimits) -> RepositoryLimits:
    """The limits unchanged. Raises ValueError when one is lifted beyond what a worker that is shared can bear. Checked here
    only: what an older version published may say more, and ends in time all the same."""
    if limits.timeout > LONGEST_FETCH:
        raise ValueError("a timeout is at most 3m: a task is killed after five minutes, and could not say why")
    for field, most in MOST_LIMITS.items():
        if getattr(limits, field) > most:
            raise ValueError(f"expected at most {most} for {to_camel(field)}: workers are shared by all tenants")
    return limits


class RepositorySpec(Spec):
    """How to reach the Git repositories at and below `url`, for the applications of one project."""

    url: RepositoryUrl
    project: LabelText = DEFAULT_PROJECT
    """Only this project's applications use these credentials."""
    credentials: RepositoryCredentials = RepositoryCredentials()
    """How to log in to the Git host, by references that the project's `credentials` lists. A token is sent as Bearer, or as
    the password when a username is given."""
    limits: Annotated[RepositoryLimits, AfterValidator(are_bounded)] = RepositoryLimits()
    """At most 16 GiB, 50,000,000 objects, and 512 MiB an object: they protect workers that all tenants share."""
    poll: Duration = Field(timedelta(seconds=60), ge=timedelta(seconds=1))
    """How often the repository's refs are looked at; `undrift up` looks every 3 seconds."""


class _Document(Spec):
    api_version: Literal["undrift.dev/v1alpha1"]


class Application(_Document):
    """What to run, and on which clusters."""

    kind: Literal["Application"]
    metadata: Metadata
    spec: ApplicationSpec


class Cluster(_Document):
    """A place to run it."""

    kind: Literal["Cluster"]
    metadata: Metadata
    spec: ClusterSpec


class Project(_Document):
    """A tenant: what its applications may use and change."""

    kind: Literal["Project"]
    metadata: ProjectMetadata
    spec: ProjectSpec = ProjectSpec()


class Repository(_Document):
    """A Git host or repository, and how to log in to it."""

    kind: Literal["Repository"]
    metadata: Metadata
    spec: RepositorySpec


Document = Application | Cluster | Project | Repository


def full_name(document: Document) -> str:
    """The name that no other document of its kind may have: `project/name` of what belongs to a project, without it where
    that is `default`."""
    project = document.spec.project if isinstance(document, Application | Repository) else DEFAULT_PROJECT
    return in_project(project, document.metadata.name)


def in_project(project: str, name: str) -> str:
    """A name as people type it: with its project's before it unless that is `default`."""
    return name if project == DEFAULT_PROJECT else f"{project}/{name}"


KINDS: Mapping[str, type[Application] | type[Cluster] | type[Project] | type[Repository]] = {
    "Application": Application,
    "Cluster": Cluster,
    "Project": Project,
    "Repository": Repository,
}
