"""Takes back the leases that ended without completion, and says what became of the work."""

from __future__ import annotations

import structlog

from reconciler.model.instance import InstanceKey
from workers.store import Store
from workers.store.due import MOST_ATTEMPTS, Expired

log = structlog.get_logger()


def rescue(store: Store, lease_s: float) -> None:
    """Make lost work due again, or park what has killed its workers."""
    for lost in store.due.expire(lease_s):
        log.warning("lease_ended", work=str(lost.work), held=lost.held, attempts=lost.attempts)
        if lost.held:
            store.meters.count("undrift_lost_children", 1, lost.work.kind)
        if lost.held and lost.work.kind == "sync":
            _tell(store, lost)


def _tell(store: Store, lost: Expired) -> None:
    key = InstanceKey.parse(lost.work.subject)
    phase, reason, message = _sentence(lost)
    # What it had written by then nobody knows, so it is not in sync as far as anybody knows.
    update = {"sync": "Unknown", "phase": phase, "reason": reason, "message": message}
    store.status.amend(store.status.read([key]), lambda _, status: status.model_copy(update=update))
    store.events.append(store.clock.now(), "instance", str(key), reason, message)
    if lost.is_parked:
        store.requests.answer(lost.requests, str(key), {"phase": phase, "reason": reason, "message": message})


def _sentence(lost: Expired) -> tuple[str, str, str]:
    if lost.is_parked:
        message = (
            f"{MOST_ATTEMPTS} workers died while syncing it; not tried again until a new commit, or "
            f"`undrift app sync {InstanceKey.parse(lost.work.subject).short}`"
        )
        return "Failed", "KillsItsWorker", message
    again = "tried again after one lease length"
    return "Queued", "WorkerLost", f"its worker was lost (attempt {lost.attempts} of {MOST_ATTEMPTS}); {again}"
