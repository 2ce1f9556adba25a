"""What one notice is about, and how a status is sorted into it.

A topic is a condition with its reason and its subject: an application at a revision, a cluster, a repository, or a freeze.
Its key is derived from these alone, so the same trouble has the same key after a restart and after a loss of Redis.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final

from reconciler.model.status import InstanceStatus

UNREACHABLE, IDENTITY = "Unreachable", "ClusterIdentityChanged"
REPOSITORY_REASONS = frozenset({"GitUnreachable", "GitDenied", "MirrorBroken", "SourceTooLarge"})
"""These are told once of the repository, not once of each application that comes from it."""
UNSETTLED = frozenset({"WaitingForHealth", "WorkerLost", "NeverSynced", UNREACHABLE})


class Condition(StrEnum):
    """What can be told. `Recovered` is never a topic's own: it tells that one ended."""

    HELD = "Held"
    FAILED = "Failed"
    DEGRADED = "Degraded"
    CONTESTED = "Contested"
    UNREACHABLE = "Unreachable"
    FROZEN = "Frozen"
    RECOVERED = "Recovered"


@dataclass(frozen=True, slots=True)
class Topic:
    """What a notice is about. Fields that do not apply are empty."""

    condition: Condition
    reason: str
    project: str = ""
    application: str = ""
    cluster: str = ""
    repository: str = ""
    scope: str = ""
    """Of a freeze: `all`, `project:P` or `cluster:C`."""
    revision: str = ""
    """The commit; of a freeze the moment at which it was put in force, since one scope is frozen more than once."""

    @property
    def key(self) -> str:
        """Stable: the same for the same trouble, whoever asks and whenever."""
        return _hashed(self, str(self.condition))

    @property
    def end_key(self) -> str:
        """The key of the notice that says that it ended."""
        return _hashed(self, f"{Condition.RECOVERED} {self.condition}")

    @property
    def subject(self) -> str:
        """For messages: what it is about, in short."""
        application = f"{self.project}/{self.application}".removeprefix("default/") if self.application else ""
        cluster = f"cluster {self.cluster}" if self.cluster else ""
        repository = f"repository {self.repository}" if self.repository else ""
        scope = "everything" if self.scope == "all" else self.scope
        return scope or application or cluster or repository


def _hashed(topic: Topic, condition: str) -> str:
    object_ = (topic.project, topic.application, topic.cluster, topic.repository, topic.scope, topic.revision)
    return hashlib.sha256("\n".join((condition, topic.reason, *object_)).encode()).hexdigest()[:32]


class Undecided(Enum):
    """Neither good nor bad for now: what was told of an instance stays as it was told."""

    UNDECIDED = "Undecided"


UNDECIDED: Final = Undecided.UNDECIDED


def topic_of(status: InstanceStatus, repository: str = "", repository_reason: str = "") -> Topic | Undecided | None:
    """What one instance's status would have told; None when all is well with it, or nobody needs to know.

    A pass that is running, a pause, health that is awaited: none of these ends what was told before.
    `repository_reason` is why the instance's repository can't be read, when it can't.
    """
    if status.phase in ("Paused", "Syncing"):
        return UNDECIDED
    if status.phase == "Held":
        return cluster_topic(status.cluster, IDENTITY) if status.reason == IDENTITY else _own(status, Condition.HELD)
    if status.phase == "Failed":
        return _failed(status, repository, repository_reason)
    if status.reason == "Contested":
        return Topic(Condition.CONTESTED, status.reason, status.project, status.application)
    if status.reason in UNSETTLED:
        return UNDECIDED
    if status.phase in ("Idle", "Queued") and (status.health == "Degraded" or status.reason == "HealthTimeout"):
        reason = status.reason if status.reason == "HealthTimeout" else "Degraded"
        return _own(status, Condition.DEGRADED, reason)
    return None


def cluster_topic(cluster: str, reason: str) -> Topic:
    """The topic of a cluster that can't be reached, or is not who it was."""
    condition = Condition.HELD if reason == IDENTITY else Condition.UNREACHABLE
    return Topic(condition, reason, cluster=cluster)


def repository_topic(url: str, reason: str) -> Topic:
    """The topic of a repository that can't be read."""
    return Topic(Condition.UNREACHABLE, reason, repository=url)


def _failed(status: InstanceStatus, repository: str, repository_reason: str) -> Topic:
    if status.reason == UNREACHABLE:
        return cluster_topic(status.cluster, UNREACHABLE)
    if repository and (status.reason in REPOSITORY_REASONS or status.reason == repository_reason):
        return repository_topic(repository, status.reason)
    return _own(status, Condition.FAILED)


def _own(status: InstanceStatus, condition: Condition, reason: str = "") -> Topic:
    revision = status.revisions[0].revision if status.revisions else ""
    return Topic(condition, reason or status.reason, status.project, status.application, revision=revision)
