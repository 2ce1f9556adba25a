"""Decides what one sync would do. Pure: everything it knows is handed in, and it returns a plan."""

from reconciler.plan.decide import make_plan, with_found

__all__ = ["make_plan", "with_found"]
