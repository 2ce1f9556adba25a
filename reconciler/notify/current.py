"""What should be known to people now: instances sorted into topics, with clusters, repositories and freezes.

One bad commit on 400 clusters is one topic with 400 instances, and a cluster that is away is one topic, whatever runs there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    statuses: Iterable[tuple[InstanceKey, InstanceStatus]],
    sources: Mapping[InstanceKey, str],
    clusters: Mapping[str, Trouble],
    repositories: Mapping[str, Trouble],
    brakes: Iterable[Brake],
    now: datetime,
) -> Current:
    """Sort the fleet, whose statuses come in the order of their keys and are not kept. `sources` names each instance's
    repository; `clusters` and `repositories` hold the troubled ones."""
    places = _Places(
        {name: [] for name in clusters},
        {url: [] for url in repositories},
        [(brake, []) for brake in brakes if brake.kind == "Frozen" and not brake.is_over(now)],
    )
    undecided: set[str] = set()
    found: dict[Topic, list[str]] = {}
    messages: dict[Topic, str] = {}
    for key, status in statuses:
        repository = sources.get(key, "")
        places.add(key, repository)
        topic = _sorted(status, clusters, repository, repositories)
        if isinstance(topic, Undecided):
            undecided.add(str(key))
        elif topic is not None:
            found.setdefault(topic, []).append(str(key))
            messages.setdefault(topic, status.message)
    topics = {seen.topic.key: seen for seen in places.seen(clusters, repositories)}
    for topic, names in found.items():
        # What the scan or the look-up itself said of a place is nearer to the truth than what one sync met.
        topics.setdefault(topic.key, Seen(topic, tuple(names), _sentence(names, messages[topic])))
    return Current(topics, frozenset(undecided))


@dataclass(frozen=True, slots=True)
class _Places:
    """The troubled clusters and repositories and the freezes in force, each with its instances."""

    clusters: dict[str, list[str]]
    repositories: dict[str, list[str]]
    freezes: list[tuple[Brake, list[str]]]

    def add(self, key: InstanceKey, repository: str) -> None:
        if key.cluster in self.clusters:
            self.clusters[key.cluster].append(str(key))
        if repository in self.repositories:
            self.repositories[repository].append(str(key))
        for brake, names in self.freezes:
            if brake.covers(key):
                names.append(str(key))

    def seen(self, clusters: Mapping[str, Trouble], repositories: Mapping[str, Trouble]) -> Iterator[Seen]:
        for name, trouble in clusters.items():
            yield Seen(cluster_topic(name, trouble.reason), tuple(self.clusters[name]), trouble.message)
        for url, trouble in repositories.items():
            yield Seen(repository_topic(url, trouble.reason), tuple(self.repositories[url]), trouble.message)
        for brake, names in self.freezes:
            yield Seen(_freeze(brake), tuple(names), brake.sentence)


def _sorted(
    status: InstanceStatus, clusters: Mapping[str, Trouble], repository: str, repositories: Mapping[str, Trouble]
) -> Topic | Undecided | None:
    is_held = status.phase == "Held" and status.reason != IDENTITY  # that waits for a person, wherever its cluster is
    if status.cluster in clusters and not is_held:
        return Undecided.UNDECIDED
    trouble = repositories.get(repository)
    return topic_of(status, repository, trouble.reason if trouble else "")


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


def _sentence(names: Sequence[str], message: str) -> str:
    """What the first instance says, by its name, for the others say the same in their own words."""
    return message if len(names) == 1 else f"{names[0]} and {len(names) - 1} more: {message}"
