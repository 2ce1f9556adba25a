"""Changes clusters: applies waves, prunes, and keeps the inventory of what an instance owns."""

from reconciler.apply.inventories import Inventories
from reconciler.apply.prune import prune
from reconciler.apply.wave import apply_wave

__all__ = ["Inventories", "apply_wave", "prune"]
