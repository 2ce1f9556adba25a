"""What a scan has found, told of each instance: drifted and due, proven, or no longer of the fleet.

Its cost grows with the instances of the cluster, never with the fleet: all that is read is of these alone. An instance is
not judged by a look that a sync has passed: one holds a lease now, or another has ended since its proofs were read. Fences
tell that, whatever the clocks of two workers say.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from datetime import datetime

import structlog

from reconciler.model.instance import InstanceKey
from reconciler.model.inventory import Applied
from reconciler.model.record import Memory
from reconciler.model.spec import InstanceSpec
from reconciler.model.status import DriftEntry, InstanceStatus
from reconciler.pipeline.scan import Finding, ScanReport
from reconciler.pipeline.sight import Proven
from workers import drifts, wiring
from workers.messages import Lane, Mark, Work
from workers.store.memories import parsed
from workers.store.status import Read
from workers.tasks import doing
from workers.tasks.doing import SETTLED

log = structlog.get_logger()
LEFT = "LeftTheFleet"
SPREAD_S = 300.0
"""Over how long the renders of a cluster that was upgraded are spread."""
MOST_TOLD = 20
_dice = random.Random()


@dataclass(frozen=True, slots=True)
class Before:
    """What was known of a cluster's instances before it was looked at. `known` names what is wanted of each and what its
    last sync left; `proven` are those of `stored` that have nothing to tell of themselves either."""

    statuses: Mapping[InstanceKey, Read]
    memories: Mapping[InstanceKey, bytes]
    known: Mapping[InstanceKey, bytes]
    stored: Proven
    proven: Proven

    @classmethod
    def read(cls, cluster: str, keys: Set[InstanceKey]) -> Before:
        """The statuses before the memories: a sync that ends in between is then taken to have ended since."""
        store = wiring.store()
        statuses = store.status.read(keys)
        memories = store.memories.stored(keys)
        known = {key: f"{name} ".encode() + memories.get(key, b"") for key, name in store.specs.names(keys).items()}
        stored = store.proven.get(cluster)
        marks = {key: mark for key, mark in stored.marks.items() if key in known and _is_at_rest(statuses[key].status)}
        return cls(statuses, memories, known, stored, Proven(marks, stored.places))


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the instances of a cluster that are to be judged anew, and of all of them before the look."""

    before: Before
    specs: Mapping[InstanceKey, InstanceSpec]
    memories: Mapping[InstanceKey, Memory]

    @classmethod
    def read(cls, before: Before, keys: Set[InstanceKey]) -> Known:
        memories = {key: before.memories[key] for key in keys if key in before.memories}
        return cls(before, wiring.store().specs.many(keys), parsed(memories))

    @property
    def keys(self) -> Set[InstanceKey]:
        """All of the cluster's instances."""
        return self.before.statuses.keys()

    def is_passed(self, key: InstanceKey, status: InstanceStatus) -> bool:
        """Whether a sync of it has ended since."""
        return status.fence != self.before.statuses[key].status.fence


def _is_at_rest(status: InstanceStatus) -> bool:
    """Whether a look that finds all as before changes nothing in it but when that was."""
    is_quiet = (status.sync, status.phase, status.health) == ("Synced", "Idle", "Healthy")
    return (
        is_quiet and status.reason in SETTLED and not (status.lags or status.foreign) and status.last_sync is not None
    )


def judge_all(report: ScanReport, known: Known) -> Set[InstanceKey]:
    """Make due what drifted or has no proof, keep what was proven, and say what has left the fleet. Answers those that stand
    as they were applied and are wanted otherwise."""
    store = wiring.store()
    busy = store.queued.leased(Work("sync", str(key)) for key in known.keys)
    now = store.status.read(known.keys, known.before.statuses)
    free = {
        key: one
        for key, one in now.items()
        if Work("sync", str(key)) not in busy and not known.is_passed(key, one.status)
    }
    marks = list(_marks({key: one.status for key, one in free.items() if key in known.specs}, report, known))
    news, others = dict[InstanceKey, InstanceStatus](), set[InstanceKey]()

    def change(key: InstanceKey, status: InstanceStatus) -> InstanceStatus | None:
        if key in report.same:
            return _seen_again(status, report.began_at)
        finding, spec = report.findings[key], known.specs.get(key)
        is_other = spec is not None and finding.applied is not None and finding.applied.spec_digest != spec.digest
        others.update({key} if is_other else ())
        after = _seen(status, finding, report.began_at, is_other=is_other)
        if after.reason != status.reason:
            news[key] = after
        return after

    store.due.mark(marks)  # before statuses tell: killed in between, the next scan finds the same to do
    store.status.amend({key: one for key, one in free.items() if key in report.findings or key in report.same}, change)
    for key, status in news.items():
        store.events.append(report.began_at, "instance", str(key), status.reason, status.message)
    _tell_strays(report, known)
    log.info(
        "scanned",
        instances=len(report.findings) + len(report.same),
        same=len(report.same),
        due=len(marks),
        requests=report.requests,
    )
    return others


def _marks(statuses: Mapping[InstanceKey, InstanceStatus], report: ScanReport, known: Known) -> Iterator[Mark]:
    store, restored = wiring.store(), set[str]()
    for key, status in statuses.items():
        spec, finding, memory = known.specs[key], report.findings.get(key), known.memories.get(key)
        if finding is not None and finding.applied is not None and memory is None:
            _restore(spec, finding.applied)
            restored.add(spec.source.repo.subject)
        if mark := _mark(spec, finding, status, memory, store.clock.now()):
            yield mark
        elif memory is not None and _asked_otherwise(memory, report):
            at_ms = store.due.now_ms() + int(_dice.uniform(0, SPREAD_S) * 1000)
            yield Mark(Work("sync", str(key)), Lane.PERIODIC, "its cluster serves other kinds", at_ms=at_ms)
    # Until it was compared whether what they read is as it is now, nobody says that they are in sync.
    yield from (Mark(Work("refresh", url), Lane.COMMIT, "restored instances") for url in sorted(restored))


def _asked_otherwise(memory: Memory, report: ScanReport) -> bool:
    """Whether its render asked the cluster something that the cluster answers otherwise now: its version, its kinds."""
    asked = memory.closure.capabilities if memory.closure else {}
    return bool(report.capabilities) and any(report.capabilities.get(name) != said for name, said in asked.items())


def _restore(spec: InstanceSpec, applied: Applied) -> None:
    """After a loss of Redis the inventory's proof is the memory again, so nothing is rendered to learn what it knows."""
    store, closure = wiring.store(), applied.closure if applied.complete else None
    store.memories.put_first(spec.key, Memory(unflushed=applied, closure=closure))
    store.closures.reopen(spec.key, spec.source.repo.subject)  # the next look compares what it read


def _mark(
    spec: InstanceSpec, finding: Finding | None, status: InstanceStatus, memory: Memory | None, now: datetime
) -> Mark | None:
    work = Work("sync", str(spec.key))
    never = status.last_sync is None
    if finding is not None and finding.drift and spec.drift.action != "Ignore":
        # Each proof stands for its own object, also where the whole is held or failed.
        return Mark(work, Lane.DRIFT, "drift", at_ms=drifts.due_at_ms((one.key for one in finding.drift), memory, now))
    if finding is not None and finding.unfinished:
        return Mark(work, Lane.DRIFT, "an interrupted sync")
    if finding is not None and finding.is_unreadable:
        told = status.reason == "InventoryError"  # it comes due again by its own back-off
        return None if told else Mark(work, Lane.DRIFT, "its inventory can't be read")
    if finding is None and memory is not None and memory.unflushed is not None:
        return Mark(work, Lane.DRIFT, "its inventory is gone")  # it was written once: the sync makes it anew
    if finding is None and status.sync == "Synced" and status.digest:
        return Mark(
            work, Lane.DRIFT, "its inventory is gone"
        )  # and what was known of it is forgotten: another cluster, say
    if finding is None or not finding.known:
        # Failed ones come due again by their own back-off; one that was never synced has none.
        return Mark(work, Lane.PERIODIC, "no proof") if never else None
    if never and finding.applied is not None and finding.applied.spec_digest != spec.digest:
        return Mark(work, Lane.COMMIT, "fleet changed")
    removable = [key for key, one in finding.foreign if one.action == "Remove"]
    if removable and spec.drift.action == "Heal":
        return Mark(work, Lane.DRIFT, "foreign fields", at_ms=drifts.due_at_ms(removable, memory, now))
    return None


def _seen_again(status: InstanceStatus, at: datetime) -> InstanceStatus | None:
    """The status of one that is as the look before found it; one that is told otherwise since is for the next look."""
    return status.model_copy(update={"observed_at": at, "in_sync_at": at}) if _is_at_rest(status) else None


def _seen(status: InstanceStatus, finding: Finding, at: datetime, *, is_other: bool = False) -> InstanceStatus:
    """The status after a look that changed nothing. What could not be looked at, or has no proof, was not seen; and what
    stands as it was applied is in sync only as far as that is what is wanted: `is_other` when the fleet wants another."""
    is_wanted = not (status.lags or is_other)
    update: dict[str, object] = {"foreign": _told(finding)}
    if finding.is_proven or finding.drift:
        update["observed_at"] = at
    if finding.is_proven and is_wanted:
        update["in_sync_at"] = at
    if finding.drift:
        entries = tuple(
            DriftEntry(key=one.key.to_text(), field=one.field, manager=one.manager, at=at) for one in finding.drift
        )
        update |= {"sync": "OutOfSync", "drift": entries}
    elif finding.is_proven and finding.applied is not None and is_wanted and status.reason != "Contested":
        update |= {"sync": "Synced"}
        if status.last_sync is None:
            update |= {
                "phase": "Idle",
                "reason": "Proven",
                "message": f"proven in sync at {finding.applied.revision[:7]} by its inventory",
                "applied_revision": finding.applied.revision,
                "last_sync": finding.applied.at,
                "digest": finding.applied.digest,
            }
    return doing.with_health(status.model_copy(update=update), finding)


def _told(finding: Finding) -> tuple[DriftEntry, ...]:
    """Who added what; the first of many."""
    return tuple(
        DriftEntry(
            key=key.to_text(),
            field=one.field,
            manager=one.manager,
            at=datetime.fromisoformat(one.at) if one.at else None,
        )
        for key, one in finding.foreign[:MOST_TOLD]
    )


def _tell_strays(report: ScanReport, known: Known) -> None:
    """Say what has an inventory in the cluster and no place in the fleet, and forget what has neither any more: a scan that
    began before one was deleted may have told of it afterwards."""
    store = wiring.store()
    messages = _left(report, known.keys)
    store.status.amend(store.status.read(messages), lambda key, status: _as_left(status, messages[key]))
    store.looks.note_strays(report.cluster, messages)
    told = store.looks.strays(report.cluster)
    gone = told - report.findings.keys() - known.keys
    gone -= store.specs.left() if gone else frozenset()
    for key in gone:
        store.status.forget(key)
        store.approvals.drop(key)
    store.memories.forget(gone)
    store.looks.forget_strays(report.cluster, gone | (told & known.keys))


def _left(report: ScanReport, fleet: Set[InstanceKey]) -> Mapping[InstanceKey, str]:
    """Instances with an inventory in the cluster and no place in the fleet, and what to say of each. Of what is announced to
    be deleted or handed over its tombstone tells."""
    store = wiring.store()
    found, problems = {}, store.fleet.told()["problems"]
    strangers = store.status.many(report.findings.keys() - fleet)
    stones = store.tombstones.many(strangers)
    for key, status in sorted(strangers.items()):
        if key in stones or status.reason in (LEFT, "Deleting", "LeavingHeld"):
            continue
        applied = report.findings[key].applied
        kept = f"its {len(applied.proofs) if applied else 0} objects are kept"
        if problems:
            message = (
                f"no fleet file that can be read defines it; {kept}. The fleet's files have {len(problems)} problems, which "
                "`undrift status` tells: mend those first"
            )
        else:
            message = (
                f"no fleet file defines it any more; {kept}. Put its Application back, or run "
                f"`undrift app delete {key.short} --yes`"
            )
        found[key] = message
        store.events.append(store.clock.now(), "instance", str(key), LEFT, message)
    return found


def _as_left(status: InstanceStatus, message: str) -> InstanceStatus:
    return status.model_copy(update={"sync": "Unknown", "phase": "Idle", "reason": LEFT, "message": message})
