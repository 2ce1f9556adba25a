"""Keeps the fleet in force: looks at its files, and expands them when they changed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from reconciler.errors import UndriftError
from reconciler.fleet import Expansion, Fleet, Problem, expand, load, with_dev_clusters
from reconciler.model.instance import InstanceKey
from reconciler.model.spec import InstanceSpec
from reconciler.source import SourceRoom, open_fleet


class FleetKeeper:
    """The fleet at one location, as last read. A location that can't be read leaves what is in force as it is."""

    def __init__(self, location: str, source: SourceRoom, dev_clusters: tuple[str, ...] = ()) -> None:
        self._location, self._source, self._dev_clusters = location, source, dev_clusters
        self._fleet: Fleet | None = None
        self.revision = ""
        self.error: UndriftError | None = None

    def look(self, previous: Mapping[InstanceKey, InstanceSpec]) -> Expansion | None:
        """The expansion when the fleet is another than at the last look, else None."""
        self.error = None
        try:
            with open_fleet(self._location, self._source) as (tree, revision):
                if revision == self.revision:
                    return None
                found = load(tree, previous=self._fleet)
        except UndriftError as error:
            self.error = error
            return None
        # Dev clusters are added after each load, so they must not count as documents of the load before.
        self._fleet, self.revision = found, revision
        names = {name: str(Path(name) / "kubeconfig") for name in self._dev_clusters}
        return expand(with_dev_clusters(found, names), previous=previous)


def sentences(problems: tuple[Problem, ...]) -> list[str]:
    return [str(problem) for problem in problems]
