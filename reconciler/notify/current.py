"""What should be known to people now: instances sorted into topics, with clusters, repositories and freezes.

One bad commit on 400 clusters is one topic with 400 instances, and a cluster that is away is one topic, whatever runs there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from reconciler.model.brake import Brake
from reconciler.model.instance import InstanceKey
from reconciler.model.status import InstanceStatus
from reconciler.notify.topic import (
    IDENTITY,
    Condition,
    Topic,
    Undecided,
    cluster_topic,
    repository_topic,
    topic_of,
)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a cluster or a repository can't be reached."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Seen:
    """One topic as it is now: its instances in order, and a sentence."""

    topic: Topic
    instances: tuple[str, ...]
    message: str


@dataclass(frozen=True, slots=True)
class Current:
    """All topics by key, and the instances of which nothing can be said now."""

    topics: Mapping[str, Seen]
    undecided: frozenset[str]


def current(
    statuses: Mapping[InstanceKey, InstanceStatus],
    sources: Mapping[InstanceKey, str],
    clusters: Mapping[str, Trouble],
    repositories: Mapping[str, Trouble],
    brakes: Iterable[Brake],
    now: datetime,
) -> Current:
    """Sort the fleet. `sources` names each instance's repository; `clusters` and `repositories` hold the troubled ones."""
    topics = {seen.topic.key: seen for seen in _places(statuses, sources, clusters, repositories, brakes, now)}
    undecided: set[str] = set()
    found: dict[Topic, dict[str, str]] = {}
    for key in sorted(statuses):
        topic = _sorted(statuses[key], clusters, sources.get(key, ""), repositories)
        if isinstance(topic, Undecided):
            undecided.add(str(key))
        elif topic is not None:
            found.setdefault(topic, {})[str(key)] = statuses[key].message
    for topic, messages in found.items():
        # What the scan or the look-up itself said of a place is nearer to the truth than what one sync met.
        topics.setdefault(topic.key, Seen(topic, tuple(messages), _sentence(messages)))
    return Current(topics, frozenset(undecided))


def _sorted(
    status: InstanceStatus, clusters: Mapping[str, Trouble], repository: str, repositories: Mapping[str, Trouble]
) -> Topic | Undecided | None:
    is_held = status.phase == "Held" and status.reason != IDENTITY  # that waits for a person, wherever its cluster is
    if status.cluster in clusters and not is_held:
        return Undecided.UNDECIDED
    trouble = repositories.get(repository)
    return topic_of(status, repository, trouble.reason if trouble else "")


def _places(
    statuses: Mapping[InstanceKey, InstanceStatus],
    sources: Mapping[InstanceKey, str],
    clusters: Mapping[str, Trouble],
    repositories: Mapping[str, Trouble],
    brakes: Iterable[Brake],
    now: datetime,
) -> Iterable[Seen]:
    there: dict[str, list[str]] = {}
    users: dict[str, list[str]] = {}
    keys = sorted(statuses)
    for key in keys:
        there.setdefault(key.cluster, []).append(str(key))
        users.setdefault(sources.get(key, ""), []).append(str(key))
    for name, trouble in clusters.items():
        yield Seen(cluster_topic(name, trouble.reason), tuple(there.get(name, ())), trouble.message)
    for url, trouble in repositories.items():
        yield Seen(repository_topic(url, trouble.reason), tuple(users.get(url, ())), trouble.message)
    for brake in brakes:
        if brake.kind == "Frozen" and not brake.is_over(now):
            yield Seen(_freeze(brake), tuple(str(key) for key in keys if brake.covers(key)), brake.sentence)


def _freeze(brake: Brake) -> Topic:
    kind, _, name = brake.scope.partition(":")
    return Topic(
        Condition.FROZEN,
        brake.kind,
        project=name if kind == "project" else "",
        cluster=name if kind == "cluster" else "",
        scope=brake.scope,
        revision=brake.at.isoformat(),
    )


def _sentence(messages: Mapping[str, str]) -> str:
    """What the first instance says, by its name, for the others say the same in their own words."""
    first, message = next(iter(messages.items()))
    return message if len(messages) == 1 else f"{first} and {len(messages) - 1} more: {message}"
