"""The scheduler: one turn after the other, each started by something that became true.

A turn leads or stands by; looks at the fleet when it is time; takes back lost leases; leases what is due, as much as the
workers can take; hands it to Celery; and waits until something changes. All that it knows can be read again from the
store and the fleet, so any number may run and any may die.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import redis
import structlog

from reconciler.clock import Clock
from reconciler.errors import UndriftError
from reconciler.fleet import Expansion
from reconciler.model.instance import InstanceKey
from workers.messages import Grant, Lane, Mark, Work
from workers.scheduler.fleet import FleetKeeper, sentences
from workers.store import Store
from workers.store.due import Expired

log = structlog.get_logger()

MESSAGES_PER_SLOT = 2
GRANTS_A_TURN = 200
STANDBY_S = 2.0
LONGEST_WAIT_S = 2.5
"""Below the leader lock's time, so that a waiting leader keeps leading."""
CHECK_EVERY_S = 60.0
RETRY_REDIS_S = 1.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How long leases last, and how often the fleet is looked at, in seconds."""

    lease_s: float
    fleet_poll_s: float
    repository_poll_s: float | None = None


class Scheduler:
    """One scheduler process's loop. `dispatch` hands grants to Celery and raises when the broker does not take them."""

    def __init__(
        self, store: Store, fleet: FleetKeeper, dispatch: Callable[[list[Grant]], None], clock: Clock, pace: Pace
    ) -> None:
        self._store, self._fleet, self._dispatch = store, fleet, dispatch
        self._clock, self._pace = clock, pace
        self._dice = random.Random()
        self._look_at_s = 0.0
        self._check_at_s = 0.0
        self._expansion: Expansion | None = None
        self._leads = False

    def run(self, stop: threading.Event) -> None:
        """Take turns until told to stop. A Redis that is away is waited for; the fleet is published again after it."""
        while not stop.is_set():
            try:
                self._store.due.wait(self.turn())
            except (redis.RedisError, OSError) as error:
                log.warning("redis_lost", error=str(error))
                stop.wait(RETRY_REDIS_S)
        self._step_down()

    def turn(self) -> float:
        """Do what is to be done now; the seconds until something happens by itself."""
        if not self._store.leader.leads():
            self._leads = False
            return STANDBY_S
        if not self._leads:
            log.info("leading")
            self._leads, self._look_at_s = True, 0.0
        self._notice_new_redis()
        self._look_at_fleet()
        self._rescue()
        self._hand_out()
        return self._wait_s()

    def fresh_start(self) -> None:
        """Say that nobody can hold a lease that Redis does not know of: this installation has just started it."""
        self._store.due.seen_before(quarantine_s=0.0)

    def _notice_new_redis(self) -> None:
        if not self._store.due.seen_before(quarantine_s=self._pace.lease_s):
            log.warning("redis_empty", lease_s=self._pace.lease_s)
            self._store.events.append(
                self._clock.now(), "scheduler", "redis", "RedisEmpty", "Redis was empty; everything is rebuilt"
            )
            self._look_at_s = 0.0
            if self._expansion is not None:
                self._publish(self._expansion)

    def _look_at_fleet(self) -> None:
        if self._clock.boot_s() < self._look_at_s and not self._store.due.was_asked_to_look():
            return
        self._look_at_s = self._clock.boot_s() + self._pace.fleet_poll_s
        previous = self._expansion.specs if self._expansion else self._store.specs.all()
        expansion = self._fleet.look(previous)
        if self._fleet.error is not None:
            self._note_fleet_error(self._fleet.error)
        elif expansion is not None:
            self._publish(expansion)
        if self._clock.boot_s() >= self._check_at_s:
            self._check_at_s = self._clock.boot_s() + CHECK_EVERY_S
            self._make_whole()

    def _note_fleet_error(self, error: UndriftError) -> None:
        known = self._store.specs.fleet()
        if [error.message] != known["problems"]:
            self._store.specs.note_fleet(str(known["revision"]), [error.message])
            self._store.events.append(self._clock.now(), "fleet", "fleet", error.reason, error.message)
            log.warning("fleet_unreadable", error=error.message)

    def _publish(self, expansion: Expansion) -> None:
        """Put an expansion in force, and make due what is new or wanted differently."""
        self._expansion = expansion
        stored = self._store.specs.publish(
            expansion.specs, expansion.clusters, expansion.repositories(), left=expansion.left
        )
        self._store.specs.note_fleet(self._fleet.revision, sentences(expansion.problems))
        self._store.status.unjudge(stored.changed)
        self._store.due.forget(Work("sync", str(key)) for key in expansion.left)
        self._store.due.mark(self._marks(stored.new, "new"))
        self._store.due.mark(self._marks(stored.changed, "fleet changed"))
        self._make_whole()
        for problem in expansion.problems:
            log.warning("fleet_problem", problem=str(problem))
        log.info(
            "fleet_published",
            revision=self._fleet.revision[:12],
            instances=len(expansion.specs),
            new=len(stored.new),
            changed=len(stored.changed),
            left=len(expansion.left),
        )

    def _marks(self, keys: Iterable[InstanceKey], reason: str) -> list[Mark]:
        return [Mark(Work("sync", str(key)), Lane.COMMIT, reason) for key in sorted(keys)]

    def _make_whole(self) -> None:
        """Make sure that everything which should come around does: scans, look-ups, and each instance some time."""
        if self._expansion is None:
            return
        known = self._store.due.states()
        parked = self._store.due.parked()
        marks: list[Mark] = []
        for name in self._expansion.clusters:
            marks.append(Mark(Work("scan", name), Lane.DRIFT, "periodic"))
        for url in self._expansion.repositories():
            marks.append(Mark(Work("refresh", url), Lane.COMMIT, "periodic"))
        for key, spec in self._expansion.specs.items():
            spread_ms = int(spec.sync.resync_interval.total_seconds() * 1000 * self._dice.uniform(0.05, 1))
            marks.append(
                Mark(Work("sync", str(key)), Lane.PERIODIC, "periodic", at_ms=self._store.due.now_ms() + spread_ms)
            )
        self._store.due.mark([one for one in marks if one.work not in known and one.work not in parked])

    def _rescue(self) -> None:
        for lost in self._store.due.expire(self._pace.lease_s):
            log.warning("lease_ended", work=str(lost.work), held=lost.held, attempts=lost.attempts)
            if lost.held and lost.work.kind == "sync":
                self._tell_lost(lost)

    def _tell_lost(self, lost: Expired) -> None:
        key = InstanceKey.parse(lost.work.subject)
        status = self._store.status.get(key)
        if lost.is_parked:
            reason, message = (
                "KillsItsWorker",
                "three workers died while syncing it; not tried again until a new commit",
            )
            status = status.model_copy(update={"phase": "Failed", "reason": reason, "message": message})
        else:
            reason = "WorkerLost"
            message = f"its worker was lost (attempt {lost.attempts} of 3); tried again after one lease length"
            status = status.model_copy(update={"phase": "Queued", "reason": reason, "message": message})
        self._store.status.put(status)
        self._store.events.append(self._clock.now(), "instance", str(key), reason, message)

    def _hand_out(self) -> None:
        slots = sum(self._store.slots.alive(self._clock.now()).values())
        room = MESSAGES_PER_SLOT * slots - self._store.due.waiting_in_broker()
        grants = self._store.due.grant(min(room, GRANTS_A_TURN), self._pace.lease_s)
        if grants:
            # A grant that does not reach the broker is not lost: nobody claims it, and its lease ends.
            self._dispatch(grants)

    def _wait_s(self) -> float:
        """Until the next due time or lease end, when there is room for it; a change wakes the scheduler earlier."""
        waits = [LONGEST_WAIT_S, self._look_at_s - self._clock.boot_s()]
        if (next_ms := self._store.due.next_ms()) is not None:
            waits.append(max((next_ms - self._store.due.now_ms()) / 1000, 0.05))
        return max(min(waits), 0.01)

    def _step_down(self) -> None:
        try:
            self._store.leader.release()
        except redis.RedisError:
            log.info("leader_lock_left_to_run_out")
