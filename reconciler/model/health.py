"""How well an object does, judged by what its own controllers say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from reconciler.model.manifest import ObjectKey


class Health(StrEnum):
    """Worst last, as an instance takes the worst of its objects."""

    HEALTHY = "Healthy"
    SUSPENDED = "Suspended"
    PROGRESSING = "Progressing"
    MISSING = "Missing"
    DEGRADED = "Degraded"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class ObjectHealth:
    health: Health
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class HealthReport:
    """The health of each object of an instance, and the worst of them."""

    objects: Mapping[ObjectKey, ObjectHealth]

    @property
    def worst(self) -> Health:
        ranks = list(Health)
        return max((found.health for found in self.objects.values()), key=ranks.index, default=Health.HEALTHY)
