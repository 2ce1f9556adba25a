"""What a person may ask for, resolved for one instance.

The option groups (`SyncPolicy`, `RenderOptions`, …) are shared by the fleet's documents (`reconciler.fleet`) and by
`InstanceSpec`, which is what the leader publishes and a worker runs. All are closed to unknown fields, camelCase
outside and snake_case inside, and hold references to credentials, never credentials.
"""

from __future__ import annotations

import hashlib
import math
from datetime import timedelta
from typing import Annotated, Any, Literal

import orjson
from pydantic import Field, field_validator, model_validator

from reconciler.model.drift import DriftPolicy, IgnoredDifference
from reconciler.model.instance import InstanceKey
from reconciler.model.manifest import ObjectKey
from reconciler.model.rules import Guards, ProjectRules
from reconciler.model.shape import Duration, Spec

LONGEST_FETCH = timedelta(minutes=3)
LONGEST_REF = 255
"""Characters of a branch's or tag's name: as many as a file's name has bytes, which is where Git itself keeps one."""
FULL_COMMIT = r"^[0-9a-f]{40}([0-9a-f]{24})?$"


class CredentialRef(Spec):
    """Where the process that connects finds a secret value: exactly one of the three."""

    env: str | None = Field(None, pattern=r"^UNDRIFT_CRED_[A-Z0-9_]+$")
    file: str | None = None
    """A path below the one folder configured for credentials."""
    secret: str | None = None
    """`namespace/name/key` of a Secret of the hub cluster."""

    @model_validator(mode="after")
    def _exactly_one(self) -> CredentialRef:
        if sum(value is not None for value in (self.env, self.file, self.secret)) != 1:
            raise ValueError("expected exactly one of env, file and secret")
        return self


class RepositoryCredentials(Spec):
    """How to log in to a Git host. Token is sent as Bearer, or as the password when a username is given."""

    token: CredentialRef | None = None
    username: str | None = None
    password: CredentialRef | None = None
    ssh_key: CredentialRef | None = None
    known_hosts: CredentialRef | None = None
    ca: CredentialRef | None = None


class RepositoryLimits(Spec):
    """What a fetch may cost before it is refused."""

    size_bytes: int = Field(2 * 1024**3, gt=0)
    objects: int = Field(5_000_000, gt=0)
    object_bytes: int = Field(64 * 1024**2, gt=0)
    """The largest single object, inflated: indexing holds one whole in memory."""
    timeout: Duration = Field(LONGEST_FETCH, gt=timedelta(0))
    """How long one fetch may take, with its wait for another of the same repository, and one look-up, which has at most a
    minute; at most 3m, since a task is killed after five minutes."""


class RepositoryAccess(Spec):
    """One repository and how to reach it."""

    url: str
    credentials: RepositoryCredentials = RepositoryCredentials()
    limits: RepositoryLimits = RepositoryLimits()
    poll: Duration = Field(timedelta(seconds=60), ge=timedelta(milliseconds=100))
    look_up: str = ""
    """What its look-ups are called, where the URL alone does not say it; nothing that is applied depends on it."""

    @property
    def subject(self) -> str:
        """What its look-ups, and all that is known by them, are called: never the same for two ways to one URL."""
        return self.look_up or self.url


class Ref(Spec):
    """Which commit of a repository: exactly one of the three; a bare string is a branch."""

    branch: str | None = Field(None, min_length=1, max_length=LONGEST_REF)
    tag: str | None = Field(None, min_length=1, max_length=LONGEST_REF)
    commit: str | None = Field(None, pattern=FULL_COMMIT)

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        return {"branch": value} if isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: Any) -> dict[str, Any]:
        whole: dict[str, Any] = handler.resolve_ref_schema(handler(core))
        return {
            "anyOf": [{"type": "string", "minLength": 1, "maxLength": LONGEST_REF}, whole],
            "description": whole.pop("description", ""),
        }

    @model_validator(mode="after")
    def _exactly_one(self) -> Ref:
        if sum(value is not None for value in (self.branch, self.tag, self.commit)) != 1:
            raise ValueError("expected exactly one of branch, tag and commit")
        return self

    def __str__(self) -> str:
        return self.branch or self.tag or self.commit or ""


class Source(Spec):
    """A folder of a repository at a ref."""

    repo: RepositoryAccess
    ref: Ref
    path: str = "."


class KeepGenerated(Spec):
    """What a chart generates anew at each render, and that is to be generated once: the value that is live is kept."""

    kind: str = Field(min_length=1)
    name: str = Field(min_length=1)
    paths: tuple[Annotated[str, Field(pattern=r"^(/[^/]+)+$")], ...] = Field(min_length=1)
    """RFC 6901, as the refusal `NotRepeatable` names them, such as `/data/password`; `~1` stands for a slash."""

    def concerns(self, key: ObjectKey) -> bool:
        """Whether an object is the named one."""
        return (key.kind, key.name) == (self.kind, self.name)


class HelmOptions(Spec):
    """Inputs of a Helm render. `values` win over files, later files over earlier ones."""

    values: dict[str, Any] = {}
    """Texts of an Application's values may hold placeholders; one that is nothing else keeps the value's type."""
    value_files: tuple[str, ...] = ()
    """Paths of the repository, relative to the chart."""
    release_name: str | None = None
    """The application's name when left out."""
    skip_crds: bool = False
    keep_generated: tuple[KeepGenerated, ...] = ()
    """Random values, certificates and times of the chart that are to be generated once. Any other fails the render."""

    @field_validator("values")
    @classmethod
    def _can_be_json(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Specs and charts take values as JSON, which has no infinity and, in Go, no integer above 64 bits."""
        if why := why_not_json(values):
            raise ValueError(why)
        return values


def why_not_json(value: Any) -> str:
    """Why a value can't be passed on as JSON, or ""."""
    if isinstance(value, dict):
        return next((why for one in value.values() if (why := why_not_json(one))), "")
    if isinstance(value, list | tuple):
        return next((why for one in value if (why := why_not_json(one))), "")
    if isinstance(value, float) and not math.isfinite(value):
        return "infinity and not-a-number can't be passed on; write text in quotes"
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return "an integer of more than 64 bits can't be passed on; write it in quotes"
    return ""


class DirectoryOptions(Spec):
    """Which files of a plain folder are manifests; globs are relative to the folder, `**` crosses folders."""

    recurse: bool = True
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


class RenderOptions(Spec):
    """How to turn a checkout into manifests. `kind` is found out by what the folder holds when left out."""

    kind: Literal["Directory", "Kustomize", "Helm"] | None = None
    helm: HelmOptions = HelmOptions()
    directory: DirectoryOptions = DirectoryOptions()
    hooks: Literal["Fail", "Skip"] = "Fail"
    """What to do with manifests that are Helm or Argo CD hooks, which this version does not run."""


class SyncPolicy(Spec):
    """When and how an instance is written."""

    mode: Literal["Auto", "Manual", "Observe"] = "Auto"
    """`Manual`: plans wait for `app sync`. `Observe`: no writes at all, not even the inventory."""
    prune: bool = True
    """Delete what was removed from Git; large or precious deletions are held for a person."""
    create_namespace: bool = False
    """Create `namespace` when it is missing; it is owned by no application and never pruned."""
    adopt: Literal["Never", "Unclaimed", "Always"] = "Unclaimed"
    """What to do with objects that exist already: `Unclaimed` takes those that no other tool claims, once approved."""
    resync_interval: Duration = Field(timedelta(hours=6), ge=timedelta(seconds=1))
    """A full pass at least this often, with jitter over the whole interval."""
    health_timeout: Duration = Field(timedelta(minutes=15), ge=timedelta(seconds=1))
    """How long what was applied may take to become healthy, before it is told as `HealthTimeout`."""
    apply_timeout: Duration = Field(timedelta(seconds=60), ge=timedelta(seconds=1))
    """How long one sync may take to apply its objects; what is not applied by then fails, and the next try goes on."""


LOCAL = "local:"
"""Begins the `file` of a kubeconfig that this installation itself keeps, of a local cluster or of `up --context`. No fleet
file may say it: it would reach, under any name, what its user has not let Undrift write to."""


class KubeconfigRef(CredentialRef):
    """A kubeconfig, and which of its contexts; its current one when left out."""

    context: str | None = None


class InCluster(Spec):
    """The service account of the Pod we run in; it has no options."""


class ClusterAccess(Spec):
    """How to reach a cluster: a kubeconfig, or the service account of the Pod we run in."""

    kubeconfig: KubeconfigRef | None = None
    in_cluster: InCluster | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> ClusterAccess:
        if (self.kubeconfig is None) == (self.in_cluster is None):
            raise ValueError("expected exactly one of kubeconfig and inCluster")
        return self


class ClusterDrift(Spec):
    """How drift is looked for on a cluster."""

    detect: Literal["Scan", "Watch"] = "Scan"
    """`Watch`: an `undrift watcher` is told of each change as it happens; scans go on besides."""
    every: Duration = Field(timedelta(minutes=3), ge=timedelta(seconds=1))


class ClusterTarget(Spec):
    """A cluster as an instance sees it."""

    name: str
    labels: dict[str, str] = {}
    """For people to select by; nothing that is applied depends on them, so no digest does."""
    access: ClusterAccess
    drift: ClusterDrift = ClusterDrift()
    mode: Literal["Active", "Observe"] = "Active"


class InstanceSpec(Spec):
    """All that a worker needs to sync one instance, without secrets. Stored and leased by its `digest`."""

    project: str
    application: str
    cluster: ClusterTarget
    sources: tuple[Source, ...] = Field(min_length=1)
    render: RenderOptions = RenderOptions()
    namespace: str | None = None
    sync: SyncPolicy = SyncPolicy()
    drift: DriftPolicy = DriftPolicy()
    ignore_differences: tuple[IgnoredDifference, ...] = ()
    deletion_policy: Literal["Delete", "Orphan"] = "Delete"
    deletion_grace_period: Duration = timedelta(hours=1)
    moved_from: tuple[str, ...] = ()
    """The instances that it was before, and that no fleet file defines any more."""
    labels: dict[str, str] = {}
    rules: ProjectRules | None = None

    def model_post_init(self, _: object) -> None:
        # Pydantic keeps a set of the given fields' names with each object: half of what 100,000 of these would hold
        # (2026-11-28: 154 MB, and 80 MB with one set for all). Nobody asks an instance's spec which of them were given.
        object.__setattr__(self, "__pydantic_fields_set__", _FIELDS)

    @property
    def key(self) -> InstanceKey:
        return InstanceKey(self.project, self.application, self.cluster.name)

    @property
    def source(self) -> Source:
        """The one source of part 1; several sources are a later part."""
        return self.sources[0]

    @property
    def formers(self) -> tuple[InstanceKey, ...]:
        """The instances whose objects are there for it to take over: those of its own cluster."""
        found = (InstanceKey.parse(text) for text in self.moved_from)
        return tuple(one for one in found if one.cluster == self.cluster.name)

    @property
    def guards(self) -> Guards:
        """How much may be deleted before a person is asked."""
        return self.rules.guards if self.rules else Guards()

    @property
    def release_name(self) -> str:
        return self.render.helm.release_name or self.application

    def to_json(self) -> bytes:
        """Canonical JSON: sorted keys, so that equal specs have equal texts."""
        return orjson.dumps(self.model_dump(mode="json", by_alias=True), option=orjson.OPT_SORT_KEYS)

    @property
    def digest(self) -> str:
        """Names what is to run. A cluster's label changes it only where it was filled in."""
        whole = self.model_dump(
            mode="json", by_alias=True, exclude={"cluster": {"labels"}, "sources": {"__all__": {"repo": {"look_up"}}}}
        )
        return "sha256:" + hashlib.sha256(orjson.dumps(whole, option=orjson.OPT_SORT_KEYS)).hexdigest()


_FIELDS = set(InstanceSpec.model_fields)
