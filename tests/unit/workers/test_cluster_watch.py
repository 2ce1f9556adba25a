"""The watches of one cluster: begun, kept, and not begun again in a hurry."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from reconciler.clock import ManualClock
from reconciler.errors import AccessDenied
from reconciler.model.live import Discovery, Listing, Resource
from reconciler.model.manifest import GroupKind
from reconciler.model.spec import ClusterAccess, ClusterTarget
from workers.watchers.cluster import AGAIN_S, ClusterWatch

KIND = GroupKind("", "Secret")
RESOURCE = Resource("", "v1", "Secret", "secrets", True, frozenset({"list", "watch"}))


class Refusing:
    """A cluster on which we may not list a kind, and how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def api(self, *_: Any, **__: Any) -> Refusing:
        return self

    def discovery(self) -> Discovery:
        return Discovery({KIND: (RESOURCE,)})

    def list(self, *_: Any, **__: Any) -> Listing:
        self.asked += 1
        raise AccessDenied("forbidden")


@pytest.fixture
def clusters() -> Refusing:
    return Refusing()


def test_a_kind_that_we_may_not_watch_is_tried_again_after_minutes(clusters: Refusing) -> None:
    """The watcher tends its clusters every five seconds, and would ask a thousand times in vain."""
    clock = ManualClock()
    store: Any = SimpleNamespace(looks=SimpleNamespace(kinds=lambda _: {KIND}), clock=clock)
    target = ClusterTarget(name="eu-1", access=ClusterAccess(in_cluster={}))
    watch = ClusterWatch(target, store, SimpleNamespace(clusters=clusters))  # type: ignore[arg-type]  # only its clusters

    for _ in range(3):
        watch.tend()
        watch._followers[KIND].join(5)
        clock.advance(5)
    assert clusters.asked == 1

    clock.advance(AGAIN_S)
    watch.tend()
    watch._followers[KIND].join(5)
    assert clusters.asked == 2
    assert watch.kinds == 0
