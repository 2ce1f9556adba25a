"""The rooms of one process, opened once and handed to every pass."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.apply import Inventories
from reconciler.clock import Clock
from reconciler.cluster import Clusters
from reconciler.render import Renderer
from reconciler.source import SourceRoom


@dataclass(frozen=True, slots=True)
class Rooms:
    """What a pass needs: where files come from, how they render, how clusters are reached, and what time it is."""

    source: SourceRoom
    renderer: Renderer
    clusters: Clusters
    inventories: Inventories
    clock: Clock

    def close(self) -> None:
        """End the render helper and the connections. The rooms can't be used afterwards."""
        self.renderer.close()
        self.clusters.close()
