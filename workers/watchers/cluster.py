"""Watches one cluster: a thread for each kind of object that its instances own."""

from __future__ import annotations

import threading

import redis
import structlog

from reconciler.cluster import OpenGuard
from reconciler.cluster.client import Client
from reconciler.cluster.watch import Changed, Everything, Follower, Gone
from reconciler.errors import UndriftError
from reconciler.model.instance import InstanceKey
from reconciler.model.live import Resource
from reconciler.model.manifest import GroupKind, ObjectKey
from reconciler.model.spec import ClusterTarget
from reconciler.objects import keys
from reconciler.objects.sightings import MANAGER, Sight, Sightings
from reconciler.pipeline.rooms import Rooms
from workers import drifts
from workers.messages import Lane, Mark, Work
from workers.store import Store

log = structlog.get_logger()
AGAIN_S = 300.0
"""After which a kind that we may not watch is tried again. Until then its scan finds what others change."""


class ClusterWatch:
    """Makes an instance of a cluster due when somebody else changes an object of it. `tend` is to be called every few
    seconds, since what there is to watch grows with what is applied."""

    def __init__(self, target: ClusterTarget, store: Store, rooms: Rooms) -> None:
        self._target, self._store, self._rooms = target, store, rooms
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._sightings = Sightings()
        self._followers: dict[GroupKind, threading.Thread] = {}
        self._begun_s: dict[GroupKind, float] = {}

    def tend(self) -> None:
        """Watch the kinds that are new, and now and then those whose watch has ended, since only a kind that is refused or
        not served ends it. A scan looks at what was before the first."""
        wanted, now_s = self._store.looks.kinds(self._target.name), self._store.clock.boot_s()
        missing = {kind for kind in wanted if self._begun_s.get(kind, -AGAIN_S) + AGAIN_S <= now_s} - self._living()
        if not missing:
            return
        api = self._rooms.clusters.api(self._target, OpenGuard(), agent=f"watch {self._target.name}")
        try:
            discovery = api.discovery()
        except UndriftError as error:
            log.info("cluster_not_watched", cluster=self._target.name, reason=error.reason)
            return
        for kind in missing:
            resource = discovery.find(kind)
            if resource is not None and "watch" in resource.verbs:
                self._begun_s[kind] = now_s
                self._follow(api, kind, resource)

    def stop(self) -> None:
        """End all watches; what still comes means nothing any more."""
        self._stop.set()

    @property
    def kinds(self) -> int:
        return len(self._living())

    def _living(self) -> set[GroupKind]:
        return {kind for kind, one in self._followers.items() if one.is_alive()}

    def _follow(self, api: Client, kind: GroupKind, resource: Resource) -> None:
        follower = Follower(api, resource, keys.PART_OF, lambda told: self._hear(kind, told), self._stop)
        name = f"watch {self._target.name} {kind}"
        self._followers[kind] = thread = threading.Thread(target=follower.run, name=name, daemon=True)
        thread.start()

    def _hear(self, kind: GroupKind, told: Everything | Changed | Gone) -> None:
        if self._stop.is_set():
            return
        drifted: list[tuple[str, ObjectKey]] = []
        with self._lock:
            if isinstance(told, Everything):
                lost = [(key, self._sightings.lose(key)) for key in self._sightings.missing(kind, told.items)]
                drifted += [(last.manager, key) for key, last in lost if last is not None]
            elif isinstance(told, Gone) and (last := self._sightings.lose(told.key)) is not None:
                drifted.append((last.manager, told.key))
            items = told.items if isinstance(told, Everything) else (told.live,) if isinstance(told, Changed) else ()
            for live in items:
                sight, now = self._sightings.see(live)
                if sight is Sight.THEIRS:
                    drifted.append((now.manager, ObjectKey.of(live)))
        if drifted:
            self._make_due(drifted)

    def _make_due(self, drifted: list[tuple[str, ObjectKey]]) -> None:
        by_instance: dict[InstanceKey, list[ObjectKey]] = {}
        try:
            for manager, key in drifted:
                if (instance := self._instance_of(manager)) is not None:
                    by_instance.setdefault(instance, []).append(key)
            specs = self._store.specs.many(by_instance)
            meant = {key: by_instance[key] for key, spec in specs.items() if spec.drift.action != "Ignore"}
            memories = self._store.memories.many(meant)
            now = self._store.clock.now()
            self._store.due.mark(
                Mark(
                    Work("sync", str(instance)),
                    Lane.DRIFT,
                    "drift",
                    at_ms=drifts.due_at_ms(objects, memories.get(instance), now),
                )
                for instance, objects in meant.items()
            )
        except redis.RedisError as error:  # the next scan finds it, too
            log.warning("drift_not_told", cluster=self._target.name, error=type(error).__name__)
            return
        log.info("drift_seen", cluster=self._target.name, instances=len(meant))

    def _instance_of(self, manager: str) -> InstanceKey | None:
        """Whose applies have a field manager's name. One that was too long for the API server is hashed, and looked for."""
        project, slash, application = manager.removeprefix(MANAGER).partition("/")
        if slash:
            return InstanceKey(project, application, self._target.name)
        mine = self._store.specs.keys_on(self._target.name)
        return next((key for key in mine if key.manager == manager), None)
