"""What the engine asks of the outside, where there is more than one implementation.

A `ClusterApi` is the real client (`reconciler.cluster`) or the fake for property tests (`reconciler.testing`); both
pass one contract suite. A `SourceTree` is a commit of a mirror or a folder on disk. A `Guard` is a lease held in Redis,
or the open guard of a preview. `Visits` are counted in Redis, or nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from reconciler.model.live import Discovery, Listing, Resource
from reconciler.model.manifest import Raw


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """One entry of a folder. `oid` is the Git object id of the blob or tree."""

    name: str
    kind: Literal["file", "folder", "link", "submodule"]
    oid: str
    executable: bool = False


class SourceTree(Protocol):
    """The files of one revision. Paths are relative to its root, `/`-separated, without `.` or `..`; `` is the root.

    Symbolic links are entries of kind `link`, never followed here.
    """

    def entry(self, path: str) -> TreeEntry | None:
        """What stands at a path, None when nothing does. Never raises for a missing path."""

    def list(self, path: str) -> Sequence[TreeEntry]:
        """The entries of a folder, sorted by name. Raises PathNotFound when it is no folder."""

    def read(self, path: str) -> bytes:
        """The content of a file, or the target text of a link. Raises PathNotFound; SourceTooLarge above the limit."""


class Visits(Protocol):
    """Who may fetch from a Git host now, where many would at once."""

    def to(self, url: str) -> AbstractContextManager[None]:
        """A place at a repository's host for as long as the block lasts; waits for one. Raises GitBusy when none comes free
        in time."""


class Guard(Protocol):
    """The right to write, bounded in time."""

    @property
    def fence(self) -> int:
        """The fence of the lease; 0 for a preview."""

    def remaining_s(self) -> float:
        """Seconds for which a request may still run. Raises LeaseLost when none are left."""

    def require_unfrozen(self) -> None:
        """Asked before each write. Raises Frozen when a person has stopped it."""


class ClusterApi(Protocol):
    """One cluster, seen through raw JSON. One instance of this is bound to one guard and one User-Agent.

    Every method asks the guard first, and gives a request no more time than the lease has left. Errors common to all:
    Unreachable (no answer, TLS, a proxy's answer, 404 for a kind that discovery serves), AccessDenied (401, 403 that is
    no admission), TooManyRequests, UnknownKind (the kind is not served and discovery agrees), LeaseLost.
    """

    name: str

    @property
    def is_read_only(self) -> bool:
        """Whether every write is refused: the cluster, or the whole installation, is in mode Observe."""

    @property
    def requests(self) -> int:
        """How many requests were sent so far."""

    @property
    def codes(self) -> Mapping[str, int]:
        """How many of them were answered with each status; `none` for those that were not answered."""

    @property
    def known_namespaces(self) -> set[str]:
        """Namespaces that this process has seen to exist on the cluster; add to it what you make."""

    def discovery(self, *, refresh: bool = False) -> Discovery:
        """The kinds served; cached per cluster, asked anew on `refresh`."""

    def identity(self, *, refresh: bool = False) -> str:
        """The uid of the `kube-system` namespace, cached per connection; empty when we may not read it."""

    def server_time(self) -> datetime | None:
        """The API server's clock at its last answer, by the Date header; None before the first."""

    def get(self, resource: Resource, namespace: str, name: str, *, metadata_only: bool = False) -> Raw | None:
        """The object, or None when the API server says that it does not exist (an object 404 with details)."""

    def list(
        self,
        resource: Resource,
        *,
        namespace: str = "",
        selector: str = "",
        metadata_only: bool = False,
        trim: Callable[[Raw], Raw] | None = None,
    ) -> Listing:
        """All objects of a kind, paged to the end; of each what `trim` leaves of it is held. Raises Unreachable for an
        answer without a resourceVersion."""

    def apply(self, resource: Resource, body: Raw, *, manager: str, force: bool, dry_run: bool = False) -> Raw:
        """Server-side apply of one object (`metadata.name` and namespace say which); the live object afterwards.

        With `metadata.resourceVersion` "1" in the body this can only create: an existing object is PreconditionFailed.
        Raises the ApplyErrors.
        """

    def create(self, resource: Resource, body: Raw) -> Raw:
        """POST. Raises PreconditionFailed when it exists, and the ApplyErrors."""

    def replace(self, resource: Resource, body: Raw) -> Raw:
        """PUT with the body's resourceVersion as precondition. Raises PreconditionFailed."""

    def patch_json(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        patch: Sequence[Mapping[str, Any]],
        *,
        dry_run: bool = False,
    ) -> Raw:
        """An RFC 6902 patch. Raises PreconditionFailed when a test or the resourceVersion fails."""

    def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str, resource_version: str = ""
    ) -> Raw | None:
        """Background deletion with preconditions; None when it was gone already, else the object or Status answered.

        Raises PreconditionFailed when another object stands there or it changed.
        """
