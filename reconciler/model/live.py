"""What a cluster says: which kinds it serves, and the objects it holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from reconciler.model.manifest import GroupKind, ObjectKey, Raw


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind at one version, as discovery names it."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool
    verbs: frozenset[str] = frozenset()

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def group_kind(self) -> GroupKind:
        return GroupKind(self.group, self.kind)


@dataclass(frozen=True, slots=True)
class Discovery:
    """The kinds a cluster serves, newest look.

    `resources` holds, for each group and kind, the versions served, preferred version first. A group in `stale_groups`
    could not be asked (its aggregated API is down): what it serves is unknown, never absent.
    """

    resources: Mapping[GroupKind, tuple[Resource, ...]]
    stale_groups: frozenset[str] = frozenset()
    server_version: str = "v0.0.0"

    def find(self, group_kind: GroupKind, version: str | None = None) -> Resource | None:
        """The kind at a version, or at the preferred one; None when discovery does not list it."""
        for resource in self.resources.get(group_kind, ()):
            if version is None or resource.version == version:
                return resource
        return None

    def api_versions(self) -> tuple[str, ...]:
        """As Helm's `.Capabilities.APIVersions`: `apps/v1` and `apps/v1/Deployment`, sorted."""
        found: set[str] = set()
        for versions in self.resources.values():
            for resource in versions:
                found |= {resource.api_version, f"{resource.api_version}/{resource.kind}"}
        return tuple(sorted(found))


@dataclass(frozen=True, slots=True)
class Listing:
    """The answer to a list: complete and consistent, or an error was raised instead."""

    items: tuple[Raw, ...]
    resource_version: str


@dataclass(frozen=True, slots=True)
class Observation:
    """What one look at a cluster saw of an instance's objects.

    `live` holds the objects found that carry the instance's part-of label. `unseen` holds the kinds that could not be
    looked at in this pass (stale group, refused list): nothing may be concluded from the absence of their objects.
    """

    at: datetime
    live: Mapping[ObjectKey, Raw] = field(default_factory=dict)
    unseen: frozenset[GroupKind] = frozenset()
