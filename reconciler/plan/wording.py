"""How a plan names its objects to people."""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.model.manifest import ObjectKey

NAMED = 3
"""How many objects a sentence names before it counts the rest."""


def named(subjects: Sequence[ObjectKey]) -> str:
    """`A, B, C and 2 more`."""
    names = ", ".join(str(key) for key in subjects[:NAMED])
    return names + (f" and {len(subjects) - NAMED} more" if len(subjects) > NAMED else "")
