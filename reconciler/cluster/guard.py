"""The guard of a preview: it may look as long as it likes, and carries no fence to write under."""

from __future__ import annotations


class OpenGuard:
    """No lease, no fence. For reads only: nothing that writes an inventory accepts fence 0."""

    fence = 0

    def remaining_s(self) -> float:
        return float("inf")

    def require_unfrozen(self) -> None:
        """Nothing stops a preview."""
