"""Every error that someone acts on, and what the catcher does about each.

    UndriftError
    ├── LeaseError                   stop at once, write nothing more; the record is not stored
    │   ├── LeaseLost                our right to run ended
    │   ├── FencedOut                a higher fence stands in the inventory: another run is the holder
    │   └── Frozen                   a person froze or paused it: the instance reads Paused, and is due when that ends
    ├── JournalBroken                said aloud; work goes on, entries wait in Redis
    ├── SourceError                  Failed; what runs stays as it is
    │   ├── GitUnreachable           retried with back-off
    │   ├── GitDenied                credentials or host key refused: retried slowly, a person must act
    │   ├── RefNotFound, PathNotFound  until a new commit or a changed spec
    │   ├── SourceTooLarge           size, object, memory or time limit of the repository
    │   └── MirrorBroken             disk full or a damaged mirror: made anew at the next try
    ├── RenderError                  Failed until a new commit or a changed spec; nothing is applied, nothing pruned
    │   ├── InvalidManifest          YAML or object shape; names file and place
    │   ├── DuplicateObject          two documents of one identity; names both places
    │   ├── TemplateFailed           Kustomize or Helm said no
    │   ├── RemoteBase               a base or chart outside the repository
    │   ├── RenderLimit              memory, time or output limit of the render
    │   ├── HooksNotYet              hooks are a later part
    │   └── EmptyRender              nothing rendered while objects are owned
    ├── ClusterError
    │   ├── Unreachable              nothing is concluded from what was not seen; Unknown; retried with back-off
    │   │   └── NoAnswer             no connection or no answer at all: only a scan asks again, until it is answered
    │   ├── ClusterIdentityChanged   another cluster answers under a known name: Held, every proof is dropped
    │   ├── AccessDenied             401 or 403 of the API server on what we need
    │   ├── UnknownKind              not served (yet): comes due again
    │   ├── TooManyRequests          429 or 503: retried after what the server says
    │   └── PreconditionFailed       a resourceVersion or uid moved on: read again
    ├── ApplyError                   one object failed; the others go on; the sync is Failed
    │   ├── FieldConflict            another manager owns a field; carries the causes
    │   ├── OwnedByAnother           another application of ours declares the object; names it
    │   ├── OwnedByAutoscaler        an object that we would adopt is scaled by somebody, to another number than Git's
    │   ├── FirstContact             the object exists and was never ours: held
    │   ├── InvalidObject            the API server refuses the object (schema, 422): until a new commit
    │   ├── ImmutableField           carries the way out
    │   ├── NeedsReplacing           as that, and the manifest asks for it: for the brakes to let through
    │   ├── AdmissionDenied          a webhook or policy said no; retried slowly
    │   ├── QuotaExceeded            retried slowly
    │   ├── NamespaceMissing, NamespaceTerminating  retried
    │   ├── ApplyTimedOut            the application's own time for an apply was over: tried again, with what is left
    │   ├── NotEmpty                 a Namespace or CRD that is to go holds what is to stay; the other deletions go on
    │   └── NotAllowed               outside what the project allows
    ├── InventoryError               of another installation, newer, or damaged: nothing is written or pruned
    └── FleetError                   a fleet file is wrong; carries all problems at once

`retry` says when trying again makes sense: `NEVER` (until Git or the spec changes, or a person asks), `BACKOFF`, or
seconds. Messages say what happened, to what, and what to do; they never carry secret values. They repeat what tenants and
clusters wrote, so they are bounded and made printable where they are made.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Final, Literal

from reconciler.text import bounded, printable

Retry = Literal["never", "backoff"] | float
NEVER: Final = "never"
BACKOFF: Final = "backoff"
BRIEF = 400
"""Characters in which a message about several objects tells of one."""


class UndriftError(Exception):
    """The root. `stage` is the room that raised it, `reason` a stable CamelCase code, `subject` what it is about."""

    stage: ClassVar[str] = "engine"
    retry: Retry = BACKOFF

    def __init__(self, message: str, *, subject: object = None, retry: Retry | None = None) -> None:
        self.message = printable(bounded(message))
        super().__init__(self.message)
        self.subject = subject
        if retry is not None:
            self.retry = retry

    @property
    def reason(self) -> str:
        return type(self).__name__


class LeaseError(UndriftError):
    stage = "lease"


class LeaseLost(LeaseError):
    """The lease ended before the work did."""


class FencedOut(LeaseError):
    """The inventory carries a higher fence than ours."""

    def __init__(self, message: str, *, fence: int, subject: object = None) -> None:
        super().__init__(message, subject=subject)
        self.fence = fence


class Frozen(LeaseError):
    """A person froze or paused it: no write is begun any more. `until` is when that ends by itself."""

    def __init__(self, message: str, *, kind: str, until: datetime | None, subject: object = None) -> None:
        super().__init__(message, subject=subject)
        self.kind, self.until = kind, until


class JournalBroken(UndriftError):
    """The journal can't be read or written as it stands."""

    stage = "journal"
    retry: Retry = 60.0


class SourceError(UndriftError):
    stage = "source"


class GitUnreachable(SourceError):
    """The Git host did not answer, or not as Git."""


class GitBusy(GitUnreachable):
    """The Git host asked us to come back later; `retry` is when."""


class GitCrowded(GitBusy):
    """It is us who ask too much of the Git host at once. A look comes around again with all that it was to do."""

    @property
    def reason(self) -> str:
        return GitBusy.__name__


class GitDenied(SourceError):
    """The Git host refused our credentials, or showed another host key than the known one."""

    retry: Retry = 300.0


class RefNotFound(SourceError):
    """The repository has no such branch, tag or commit."""

    retry: Retry = 60.0


class PathNotFound(SourceError):
    """The revision has no such folder."""

    retry: Retry = NEVER


class SourceTooLarge(SourceError):
    """A limit of the repository was met."""

    retry: Retry = 600.0


class MirrorBroken(SourceError):
    """The local mirror could not be written or read."""


class RenderError(UndriftError):
    stage = "render"
    retry: Retry = NEVER


class InvalidManifest(RenderError):
    """A document is not a Kubernetes object, or not YAML as kubectl takes it."""


class DuplicateObject(RenderError):
    """Two documents have one identity."""


class TemplateFailed(RenderError):
    """The renderer said no."""


class NotRepeatable(RenderError):
    """Two renders of the same inputs differ."""


class RemoteBase(RenderError):
    """The folder asks for a base, chart or resource outside the repository."""


class RenderLimit(RenderError):
    """The render met its limit of memory, time or output and was stopped."""


class HooksNotYet(RenderError):
    """The manifests hold hooks, which are not run yet."""


class EmptyRender(RenderError):
    """Nothing was rendered although objects are owned: not taken for 'nothing desired'."""


class ClusterError(UndriftError):
    stage = "cluster"


class Unreachable(ClusterError):
    """The cluster did not answer as a Kubernetes API server does."""


class NoAnswer(Unreachable):
    """Nobody answered at all, so whatever else is asked of the cluster now would wait as long, in vain."""

    @property
    def reason(self) -> str:
        return Unreachable.__name__


class AccessDenied(ClusterError):
    """The API server refused us a request that we need."""

    retry: Retry = 60.0


class UnknownKind(ClusterError):
    """The cluster does not serve this kind."""


class TooManyRequests(ClusterError):
    """The API server asked us to come back later."""


class ClusterIdentityChanged(ClusterError):
    """The cluster behind a name is not the one it was at first contact, or is known under another name."""

    retry: Retry = 300.0


class PreconditionFailed(ClusterError):
    """What we read has changed since."""


class ApplyError(UndriftError):
    stage = "apply"


class FieldConflict(ApplyError):
    """Other managers own fields that we declare. `causes` are (field, manager) pairs."""

    def __init__(self, message: str, *, causes: tuple[tuple[str, str], ...], subject: object = None) -> None:
        super().__init__(message, subject=subject)
        self.causes = causes


class OwnedByAnother(ApplyError):
    """Another application declares this object."""

    retry: Retry = 60.0


class OwnedByAutoscaler(ApplyError):
    """The object exists, is scaled by an autoscaler, and Git declares another number of replicas."""

    retry: Retry = NEVER


class FirstContact(ApplyError):
    """The object exists and was never ours. `uid` is whose contact it was: another object of the name is another contact.
    `brief` is what taking it over would change, in few words; empty where that is not known."""

    retry: Retry = NEVER
    uid: str = ""

    def __init__(self, message: str, *, subject: object = None, brief: str = "") -> None:
        super().__init__(message, subject=subject)
        self.brief = printable(bounded(brief, BRIEF))


class InvalidObject(ApplyError):
    """The API server refuses the object as it is written."""

    retry: Retry = NEVER


class ImmutableField(ApplyError):
    """A field that can't be changed differs; `undrift.dev/replace: "true"` deletes and makes the object anew."""

    retry: Retry = NEVER


class NeedsReplacing(ImmutableField):
    """A field that can't be changed differs, and the manifest says `undrift.dev/replace: "true"`. Nothing was deleted: the
    brakes have to let it through first."""


class AdmissionDenied(ApplyError):
    """An admission webhook or policy refused the object."""


class QuotaExceeded(ApplyError):
    """A resource quota refused the object."""


class NamespaceMissing(ApplyError):
    """The object's namespace does not exist."""


class NamespaceTerminating(ApplyError):
    """The object's namespace is being deleted."""

    retry: Retry = 15.0


class ApplyTimedOut(ApplyError):
    """The time that the application gives an apply was over before this object was applied."""


class NotEmpty(ApplyError):
    """A Namespace or a CRD is to be deleted, and something that stays would be deleted with it."""

    retry: Retry = 60.0


class NotAllowed(ApplyError):
    """The project does not allow this object."""

    retry: Retry = NEVER


class InventoryError(UndriftError):
    """The inventory can't be used as it stands."""

    stage = "inventory"
    retry: Retry = 300.0


class InventoryNotRead(InventoryError):
    """The inventory that was presumed to be empty has to be read after all. Nothing was written. The pipeline reads it."""


class FleetError(UndriftError):
    """Fleet files are wrong. `problems` are complete sentences with file, line and field."""

    stage = "fleet"
    retry: Retry = NEVER

    def __init__(self, message: str, *, problems: tuple[str, ...] = (), subject: object = None) -> None:
        super().__init__(message, subject=subject)
        self.problems = problems
