"""How drift that was seen becomes a wish: at once, or when its fight's wait is over."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from reconciler.model.manifest import ObjectKey
from reconciler.model.record import Memory


def due_at_ms(drifted: Iterable[ObjectKey], memory: Memory | None, now: datetime) -> int | None:
    """None for now, unless everything that drifted is being fought over and waits: then the first end of a wait."""
    heals = memory.heals if memory else {}
    untils = [heals[key].until if key in heals else None for key in drifted]
    waits = [until for until in untils if until is not None and until > now]
    return int(min(waits).timestamp() * 1000) if waits and len(waits) == len(untils) else None
