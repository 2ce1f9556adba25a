"""Says what somebody should be told: from what was told last and what is true now to the notices that are due. Pure."""

from reconciler.notify.book import UPDATE_EVERY, WINDOW, Told, compare, delivered, failed, pending
from reconciler.notify.current import Current, Seen, Trouble, current
from reconciler.notify.notice import SIGNATURE_HEADER, body, signature
from reconciler.notify.topic import Condition, Topic

__all__ = [
    "SIGNATURE_HEADER",
    "UPDATE_EVERY",
    "WINDOW",
    "Condition",
    "Current",
    "Seen",
    "Told",
    "Topic",
    "Trouble",
    "body",
    "compare",
    "current",
    "delivered",
    "failed",
    "pending",
    "signature",
]
