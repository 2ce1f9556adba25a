"""Keeps the fleet in force: looks at its files, and expands them when they changed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from reconciler.errors import UndriftError
from reconciler.fleet import Expansion, Fleet, Problem, expand, load, with_contexts, with_dev_clusters
from reconciler.model.instance import InstanceKey
from reconciler.model.spec import InstanceSpec
from reconciler.source import SourceRoom, open_fleet
from workers.settings import CONTEXTS
from workers.store.fleet import MOST_SENTENCES

T = TypeVar("T")


class FleetKeeper:
    """The fleet at one location, as last read. A location that can't be read leaves what is in force as it is."""

    def __init__(
        self,
        location: str,
        source: SourceRoom,
        dev_clusters: tuple[str, ...] = (),
        contexts: tuple[str, ...] = (),
        activated: Callable[[], frozenset[str]] = frozenset,
    ) -> None:
        """`contexts` are clusters of the user's own kubeconfig; `activated` says which of them may be written to."""
        self._location, self._source, self._dev_clusters = location, source, dev_clusters
        self._contexts, self._activated = contexts, activated
        self._active: frozenset[str] = frozenset()
        self._fleet: Fleet | None = None
        self.revision = ""
        self.error: UndriftError | None = None

    def forget(self) -> None:
        """Read it as if for the first time: what was read long ago must not stand in for a document that is broken now,
        since another process may have put later texts of it in force."""
        self._fleet, self.revision = None, ""

    def look(self, previous: Mapping[InstanceKey, InstanceSpec]) -> Expansion | None:
        """The expansion when the fleet is another than at the last look, else None."""
        self.error = None
        active = self._activated() if self._contexts else frozenset()
        try:
            with open_fleet(self._location, self._source) as (tree, revision):
                if revision == self.revision and active == self._active:
                    return None
                found = load(tree, previous=self._fleet)
        except UndriftError as error:
            self.error = error
            return None
        names = {name: str(Path(name) / "kubeconfig") for name in self._dev_clusters}
        contexts = {name: f"{CONTEXTS}/{name}.yaml" for name in self._contexts}
        whole = with_contexts(with_dev_clusters(found, names), contexts, active)
        expansion = expand(whole, previous=previous)  # may have to read of `previous`, and fail
        # Dev clusters are added after each load, so they must not count as documents of the load before.
        self._fleet, self.revision, self._active = found, revision, active
        return expansion


def beside(do: Callable[[], T]) -> Future[T]:
    """Do something in a thread of its own, which does not keep the process from ending."""
    found: Future[T] = Future()

    def run() -> None:
        try:
            found.set_result(do())
        except BaseException as error:
            found.set_exception(error)

    threading.Thread(target=run, name="fleet", daemon=True).start()
    return found


def sentences(problems: tuple[Problem, ...]) -> list[str]:
    return [str(problem) for problem in problems]


def rejected(expansion: Expansion) -> dict[str, dict[str, list[Any]]]:
    """What `FleetStore.note` keeps of applications whose files are wrong."""
    found: dict[str, dict[str, list[Any]]] = {}
    for place, problem in enumerate(expansion.problems[:MOST_SENTENCES]):
        if problem.subject is not None and problem.subject[0] == "Application":
            found.setdefault(problem.subject[1], {"problems": [], "kept": []})["problems"].append(place)
    for key in sorted(expansion.kept):
        if about := found.get(key.short.partition("@")[0]):
            about["kept"].append(key.cluster)
    return found
