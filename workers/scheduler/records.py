"""The leader's part in the journal: commits what waits, gives back what was decided, and ends what has run out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog

from reconciler.errors import JournalBroken
from reconciler.journal import Journal
from reconciler.journal.compact import compact
from reconciler.model.brake import Brake
from reconciler.model.instance import InstanceKey
from workers import braking
from workers.copying import JournalCopy
from workers.store import Store
from workers.store.brakes import from_json, to_json
from workers.store.tombstones import encode

log = structlog.get_logger()
BATCH = 500
KEEP_EVERY_S = 1.0
LOOK_EVERY_S = 5.0
KEPT_ENTRIES = 100_000
"""Beyond twice this many, the oldest entries are dropped down to it; the chain of their commits stays."""
COMPACT_EVERY_S = 3600.0
LONGEST_COMPACTION_S = 600.0
LONGEST_FETCH_S = 120.0
LONGEST_LIFT_S = 120.0
"""A brake may cover the whole fleet, all of which is then made due."""
GAP = "gap"
ELSEWHERE = (
    "the newest entries of the journal are not here: they were cut away, or another machine wrote them. Schedulers on "
    "several machines need UNDRIFT_JOURNAL_REPO or one state volume for all: else a loss of Redis forgets what the others "
    "wrote, freezes, too"
)


class Records:
    """Used by one thread, of the scheduler that leads."""

    def __init__(self, store: Store, journal: Journal, copy: JournalCopy | None = None) -> None:
        self._store, self._journal, self._copy = store, journal, copy
        self._keep_at_s = self._look_at_s = self._compact_at_s = 0.0
        self._problem = ""
        self._missed: set[str] = set()

    def restore(self) -> None:
        """Put the decisions that the journal knows into a Redis that lost them. Called before anything is granted."""
        if self._copy is not None:
            self._copy.restore()
        found = self._journal.state() or {}
        self._store.brakes.restore(from_json(one) for one in found.get("brakes", ()))
        self._store.pins.restore(found.get("pins", {}))
        self._store.tombstones.restore(found.get("tombstones", {}))
        self._store.specs.restore_left(map(InstanceKey.parse, found.get("tombstones", {})))
        for cluster in found.get("activated", ()):
            self._store.pins.activate(cluster)

    def tend(self) -> None:
        """Now and then: commit a batch, and lift what is over."""
        now_s = self._store.clock.boot_s()
        if now_s >= self._look_at_s:
            self._look_at_s = now_s + LOOK_EVERY_S
            self._end_what_is_over()
        if now_s >= self._keep_at_s:
            self._keep_at_s = now_s + KEEP_EVERY_S
            self._keep()
        if self._copy is not None:
            self._copy.tend()

    def _keep(self) -> None:
        entries = self._store.outbox.waiting(BATCH)
        if not entries:
            return
        try:
            gaps = self._require_newest()
            head = self._journal.append([*gaps, *entries], self._state())
        except (JournalBroken, OSError) as error:
            self._say(f"the journal can't be written, entries wait in Redis: {error}")
            return
        self._problem = ""
        self._missed.update(str(one["id"]) for one in gaps)
        self._store.outbox.done(entries, head)
        if self._copy is not None and any(one["kind"] != "sync" for one in entries):
            self._copy.soon()
        if len(entries) == BATCH:
            self._keep_at_s = 0.0
        self._compact()

    def stand_by(self) -> None:
        """What this machine wrote while it led goes to the copy also when another leads: it is waited for there."""
        if self._copy is not None:
            self._copy.tend()

    def _require_newest(self) -> list[Mapping[str, Any]]:
        """An entry that tells of a gap, when the newest commit that is known from before is not in the chain: entries were
        cut away, or another machine's scheduler wrote them. Raises JournalBroken while the copy is still to be read."""
        known = self._store.outbox.head()
        if known is None or known in self._missed or known == self._journal.head():
            return []
        with self._store.leader.kept(LONGEST_FETCH_S):
            if self._copy is not None:
                self._copy.require_newest(known)
                return []
            if self._journal.has(known):
                return []
        now, message = self._store.clock.now(), f"{known[:12]}: {ELSEWHERE}"
        self._store.events.append(now, "scheduler", "journal", "JournalElsewhere", message)
        log.error("journal_elsewhere", commit=known[:12])
        return [{"id": known, "at": now.isoformat(), "kind": GAP, "subject": "journal", "message": message}]

    def _compact(self) -> None:
        """Now and then, so that it does not grow with all that ever happened."""
        now_s = self._store.clock.boot_s()
        if now_s < self._compact_at_s:
            return
        self._compact_at_s = now_s + COMPACT_EVERY_S
        try:
            with self._store.leader.kept(LONGEST_COMPACTION_S):
                dropped = compact(self._journal, keep=KEPT_ENTRIES, most=2 * KEPT_ENTRIES)
        except (JournalBroken, OSError) as error:
            self._say(f"the journal can't be compacted, and goes on growing: {error}")
            return
        if dropped:
            log.info("journal_compacted", entries=dropped)
            self._store.outbox.note_head(str(self._journal.head()))

    def _state(self) -> dict[str, Any]:
        return {
            "brakes": [to_json(one) for one in self._store.brakes.all().values()],
            "pins": self._store.pins.all(),
            "tombstones": {str(key): encode(one).decode() for key, one in self._store.tombstones.all().items()},
            "activated": sorted(self._store.pins.activated()),
        }

    def _end_what_is_over(self) -> None:
        now = self._store.clock.now()
        over = [one for one in self._store.brakes.all().values() if one.is_over(now)]
        if over:
            with self._store.leader.kept(LONGEST_LIFT_S):
                for one in over:
                    self._end(one)

    def _end(self, brake: Brake) -> None:
        count = braking.lift(self._store, brake.scope, by="its time", reason="it ran out")
        message = (
            f"{brake.scope} is no longer {brake.kind.lower()} ({brake.reason}): its time ran out; {count} instances"
        )
        self._store.events.append(self._store.clock.now(), "scheduler", brake.scope, f"{brake.kind}Over", message)
        log.info("brake_over", scope=brake.scope)

    def _say(self, problem: str) -> None:
        """Once for each problem, not once a second."""
        if problem != self._problem:
            self._problem = problem
            self._store.events.append(self._store.clock.now(), "scheduler", "journal", "JournalBroken", problem)
            log.error("journal_broken", problem=problem)
