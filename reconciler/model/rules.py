"""What a project allows its applications, and how carefully it wants their deletions handled."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from reconciler.model.manifest import GroupKind
from reconciler.model.shape import Spec


class KindRule(Spec):
    """A group and kind, `*` for any."""

    group: str = "*"
    kind: str = "*"

    def covers(self, kind: GroupKind) -> bool:
        return self.group in ("*", kind.group) and self.kind in ("*", kind.kind)


class Guards(Spec):
    """How much one plan may delete before a person is asked. A project can only tighten what holds for all."""

    hold: Literal["Deletions", "Plan"] = "Deletions"
    """What waits: the deletions, while what the same commit creates and changes goes on, or the whole plan."""
    max_deletions: int = Field(50, ge=0, le=50)
    """More deletions than this are held; 0 holds each one."""
    max_deletion_percent: int = Field(30, ge=0, le=30)
    """A larger share of an instance's objects is held, from three deletions on."""
    max_leaving_per_hour: int = Field(10, ge=0, le=10)
    """More of the project's instances that leave within an hour are held; 0 holds each one."""
    protected_kinds: tuple[KindRule, ...] = ()
    """Deletions of these are held, as those of Namespaces, CRDs, volumes, claims and StatefulSets always are."""


class ProjectRules(Spec):
    """What a project's instances may write; `None` (project `default`, not defined) allows all."""

    namespaces: tuple[str, ...] = ()
    cluster_kinds: tuple[KindRule, ...] = ()
    namespaced_kinds: tuple[KindRule, ...] = ()
    guards: Guards = Guards()
    refusal: str = ""
    """Why nothing at all may be written, when the project has come to refuse the application itself."""
