"""The scheduler: one turn after the other, each started by something that became true.

A turn leads or stands by; looks at the fleet when it is time; takes back lost leases; leases what is due, as much as the
workers can take; hands it to Celery; and waits until something changes. All that it knows can be read again from the
store and the fleet, so any number may run and any may die.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from concurrent import futures
from dataclasses import dataclass, field

import redis
import structlog

from reconciler.clock import Clock
from reconciler.errors import JournalBroken
from reconciler.fleet import Expansion
from reconciler.model.instance import InstanceKey
from reconciler.model.spec import InstanceSpec
from workers import mistakes
from workers.messages import DELIVER, Grant, Work
from workers.scheduler import leaving, rounds
from workers.scheduler.fleet import FleetKeeper, beside, rejected, sentences
from workers.scheduler.records import Records
from workers.scheduler.rescue import rescue
from workers.store import Store
from workers.store.due import Most
from workers.store.fleet import first_of, names_of
from workers.store.leader import NotLeading

log = structlog.get_logger()

MESSAGES_PER_SLOT = 2
GRANTS_A_TURN = 200
STANDBY_S = 2.0
LONGEST_WAIT_S = 2.5
"""Below the leader lock's time, so that a waiting leader keeps leading."""
CHECK_EVERY_S = 60.0
"""At the earliest; a check follows a look at the fleet."""
CLOCK_EVERY_S = 10.0
RETRY_REDIS_S = 1.0
RETRY_BROKEN_S = 5.0
"""Below the leader lock's time: the next one would meet the same."""
SHORTEST_TURN_S = 0.03
"""Hundreds of completions a second wake the scheduler; this much of them is seen in one turn."""
PATIENCE_S = 0.5
"""How long a turn waits for a look at the fleet before it goes on without."""
LONGEST_STEP_S = 600.0
"""What a turn does that takes longer than this, such as to put a fleet in force, costs its leader the lead; a look at the
fleet is told of."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long leases last, and how often the fleet is looked at, in seconds; what else comes around."""

    lease_s: float
    fleet_poll_s: float
    repository_poll_s: float | None = None
    most: Most = field(default_factory=Most)
    """How much one cluster or Git host is asked at once."""
    tells: bool = False
    """Whether there is a webhook, so that `deliver` comes around."""


class Scheduler:
    """One scheduler process's loop. `dispatch` hands grants to Celery and raises when the broker does not take them."""

    def __init__(
        self,
        store: Store,
        fleet: FleetKeeper,
        records: Records,
        dispatch: Callable[[list[Grant]], None],
        clock: Clock,
        pace: Pace,
    ) -> None:
        self._store, self._fleet, self._records, self._dispatch = store, fleet, records, dispatch
        self._clock, self._pace = clock, pace
        self._look_at_s = self._slow_at_s = 0.0
        self._check_at_s = 0.0
        self._clock_at_s = 0.0
        self._expansion: Expansion | None = None
        self._token = self._revision = ""
        self._looking: futures.Future[tuple[Expansion, Mapping[InstanceKey, str]] | None] | None = None
        self._rounds = rounds.Rounds(store)
        self._leads = self._is_unread = False
        self._problem = ""
        self._mistakes = set[str]()

    def run(self, stop: threading.Event) -> None:
        """Take turns until told to stop. A Redis or broker that is away is waited for; so is a turn that a mistake of ours
        ended, which whoever took over would mostly make, too."""
        while not stop.is_set():
            try:
                begun_s = self._clock.boot_s()
                wait_s = self.turn()
                stop.wait(max(SHORTEST_TURN_S - (self._clock.boot_s() - begun_s), 0))
                (self._store.due if self._leads else self._store.leader).wait(wait_s)
            except (redis.RedisError, OSError) as error:
                log.warning("redis_lost", error=str(error))
                stop.wait(RETRY_REDIS_S)
            except Exception as error:
                self._own_up(error)
                stop.wait(RETRY_BROKEN_S)
        self._step_down()

    def _own_up(self, error: Exception) -> None:
        """Say that it is our mistake, once for each; the log has every one."""
        what = mistakes.told(error)
        log.error("turn_broke", what=what, way=mistakes.whole_way(error))
        if what in self._mistakes:
            return
        message = (
            f"a mistake of Undrift itself ended a turn of the scheduler: {what}. It is tried again; please report it"
        )
        try:
            self._store.events.append(self._clock.now(), "scheduler", "turn", mistakes.BROKEN, message)
        except redis.RedisError as lost:
            log.warning("redis_lost", error=str(lost))
            return
        self._mistakes.add(what)

    def turn(self) -> float:
        """Do what is to be done now; the seconds until something happens by itself."""
        if not self._store.leader.leads():
            self._leads = False
            self._records.stand_by()
            return STANDBY_S
        if not self._leads or self._store.leader.is_new:
            self._take_the_lead()
        try:
            self._notice_new_redis()
            self._look_at_fleet()
            self._rounds.go_on()
        except NotLeading:
            self._leads = False
            return STANDBY_S
        except JournalBroken as error:
            self._say_once(error)
            return STANDBY_S
        self._tend_records()
        self._tell_the_time()
        rescue(self._store, self._pace.lease_s)
        room = self._hand_out()
        return self._wait_s(has_room=room > 0)

    def _tend_records(self) -> None:
        """What a mistake of ours keeps from the journal waits in Redis, and keeps nobody's grants."""
        try:
            self._records.tend()
        except (redis.RedisError, OSError):
            raise
        except Exception as error:
            self._own_up(error)

    def fresh_start(self) -> None:
        """Say that nobody can hold a lease that Redis does not know of: this installation has just started it."""
        try:
            self._records.restore()
        except JournalBroken as error:
            self._say_once(error)
            return
        self._store.due.seen_before(quarantine_s=0.0)

    def _say_once(self, error: JournalBroken) -> None:
        """What is frozen can't be known, so nothing is granted until the journal and its copy can be read."""
        message = f"nothing is granted: Redis was emptied, and {error.message}; see docs/how-to/recover.md"
        if self._problem != message:
            self._problem = message
            self._store.events.append(self._clock.now(), "scheduler", "journal", error.reason, message)
            log.error("journal_broken", problem=message)

    def _take_the_lead(self) -> None:
        """Begin from what is published, not from what this process read when it led before."""
        log.info("leading")
        if self._looking is not None:  # begun when it led before
            with self._store.leader.kept(LONGEST_STEP_S):
                futures.wait([self._looking])
            self._looking = None
        self._leads, self._expansion, self._look_at_s, self._check_at_s = True, None, 0.0, 0.0
        self._clock_at_s = 0.0
        self._rounds = rounds.Rounds(self._store)
        self._fleet.forget()
        if not self._pace.tells:
            self._store.notices.forget()
            self._store.due.forget([DELIVER])

    def _notice_new_redis(self) -> None:
        if self._store.due.is_known():
            return
        with self._store.leader.kept(LONGEST_STEP_S):
            self._records.restore()  # before it counts as known: until then no worker writes
        if self._store.due.seen_before(quarantine_s=self._pace.lease_s):
            return
        log.warning("redis_empty", lease_s=self._pace.lease_s)
        self._store.events.append(
            self._clock.now(), "scheduler", "redis", "RedisEmpty", "Redis was empty; everything is rebuilt"
        )
        self._look_at_s = 0.0
        if self._expansion is not None:
            self._publish(self._expansion)

    def _look_at_fleet(self) -> None:
        """Begin a look at the fleet when it is time, and put in force what it found. One at a large fleet takes longer than
        a grant can wait: turns go on beside it."""
        if self._looking is None:
            asked = self._store.due.was_asked_to_look()
            if self._clock.boot_s() < self._look_at_s and not asked:
                return
            self._look_at_s = self._clock.boot_s() + self._pace.fleet_poll_s
            self._check_at_s = 0.0 if asked else self._check_at_s
            self._looking, self._slow_at_s = beside(self._look), self._clock.boot_s() + LONGEST_STEP_S
            futures.wait([self._looking], PATIENCE_S)
        if not self._looking.done():
            self._tell_of_slow_look()
            return
        looked, self._looking = self._looking, None
        if (error := looked.exception()) is not None:
            self._own_up_to_look(error)
        elif self._fleet.error is not None:
            self._note_fleet_error(self._fleet.error.reason, self._fleet.error.message)
        elif (found := looked.result()) is not None:
            self._revision = self._fleet.revision
            self._try_to_publish(*found)
        elif self._is_unread and self._expansion is not None:
            self._tell_of_fleet(self._expansion)
        if self._clock.boot_s() >= self._check_at_s:
            self._check()

    def _tell_of_slow_look(self) -> None:
        """Once for each look: the fleet as it was stays in force until this one ends."""
        if self._clock.boot_s() >= self._slow_at_s:
            self._slow_at_s = math.inf
            message = (
                f"a look at the fleet has taken {LONGEST_STEP_S:.0f} s so far; what is in force stays until it ends"
            )
            self._store.events.append(self._clock.now(), "fleet", "fleet", "SlowLook", message)
            log.warning("fleet_look_slow")

    def _look(self) -> tuple[Expansion, Mapping[InstanceKey, str]] | None:
        """What is to be in force, with the names of its specs; None when nothing has changed."""
        expansion = self._fleet.look(self._previous())
        return (expansion, names_of(expansion.specs)) if expansion is not None else None

    def _previous(self) -> Mapping[InstanceKey, InstanceSpec]:
        """What is in force: as this process put it, or what the leader before it did."""
        return self._expansion.specs if self._expansion else self._store.specs.known()

    def _tell_the_time(self) -> None:
        """So that a worker whose clock is another finds that out before its leases do."""
        if self._clock.boot_s() >= self._clock_at_s:
            self._clock_at_s = self._clock.boot_s() + CLOCK_EVERY_S
            self._store.clocks.lead()

    def _own_up_to_look(self, error: BaseException) -> None:
        """A look that a mistake of ours ended is told as a fleet that can't be read is: it is by something in its files, and
        the next look may find them changed. Raises RedisError where the look met that."""
        if isinstance(error, redis.RedisError):
            raise error
        what = mistakes.told(error)
        log.error("fleet_look_broke", what=what, way=mistakes.whole_way(error))
        message = (
            f"a mistake of Undrift itself ended the look at the fleet: {what}; what is in force stays. Please report it"
        )
        self._note_fleet_error(mistakes.BROKEN, message)

    def _note_fleet_error(self, reason: str, message: str) -> None:
        """Once for each."""
        self._is_unread = True
        known = self._store.fleet.told()
        if first_of([message]) != known["problems"]:
            self._store.fleet.note(str(known["revision"]), [message])
            self._store.events.append(self._clock.now(), "fleet", "fleet", reason, message)
            log.warning("fleet_unreadable", error=message)

    def _try_to_publish(self, expansion: Expansion, names: Mapping[InstanceKey, str]) -> None:
        """What a mistake of ours keeps from being put in force is told, and keeps nobody's grants."""
        try:
            self._publish(expansion, names)
        except (redis.RedisError, NotLeading, JournalBroken, OSError):
            raise
        except Exception as error:
            self._own_up_to_look(error)

    def _publish(self, expansion: Expansion, names: Mapping[InstanceKey, str] | None = None) -> None:
        """Put an expansion in force; of a large fleet this takes longer than the leader's lock lasts."""
        try:
            with self._store.leader.kept(LONGEST_STEP_S):
                self._put_in_force(expansion, names)
        except Exception as error:
            self._fleet.forget()  # what is not known to be in force is looked at again
            again_s = 0.0 if isinstance(error, redis.RedisError) else RETRY_BROKEN_S
            self._look_at_s = self._clock.boot_s() + again_s
            raise

    def _put_in_force(self, expansion: Expansion, names: Mapping[InstanceKey, str] | None) -> None:
        previous = self._previous()
        if not self._store.leader.is_leading():
            raise NotLeading
        # Announced before it is published: a leader that is killed in between finds it still to be announced.
        self._store.due.forget(Work("sync", str(key)) for key in expansion.left)
        leaving.announce(self._store, expansion, expansion.left, previous)
        stored = self._store.fleet.publish(
            expansion.specs,
            expansion.clusters,
            expansion.repositories(),
            leader=self._store.leader,
            names=names,
        )
        self._expansion, self._token = expansion, stored.token
        self._tell_of_fleet(expansion)
        self._store.due.forget(Work("sync", str(key)) for key in stored.left - expansion.left)
        self._rounds.begin(expansion, tells=self._pace.tells, is_first=True)
        log.info(
            "fleet_published",
            revision=self._revision[:12],
            instances=len(expansion.specs),
            new=len(stored.new),
            changed=len(stored.changed),
            left=len(stored.left),
        )

    def _tell_of_fleet(self, expansion: Expansion) -> None:
        """What is wrong in the files in force, and as an event what of it is news; that they can't be read is over."""
        problems, known = sentences(expansion.problems), {*self._store.fleet.told()["problems"]}
        self._store.fleet.note(self._revision, problems, sentences(expansion.notes), rejected(expansion))
        for problem in (one for one in first_of(problems) if one not in known):
            self._store.events.append(self._clock.now(), "fleet", "fleet", "InvalidFleet", problem)
            log.warning("fleet_problem", problem=problem)
        self._is_unread = False

    def _check(self) -> None:
        """Now and then, and when a worker met something unknown: whether all that should be there is there."""
        self._check_at_s = self._clock.boot_s() + CHECK_EVERY_S
        mine = self._expansion
        if mine is not None and not self._store.fleet.is_published(self._token, len(mine.specs)):
            self._publish(mine)
        elif self._rounds.is_over:
            self._rounds.begin(mine, tells=self._pace.tells)

    def _hand_out(self) -> int:
        """Lease what the workers can take and hand it to them; how many more they could have taken."""
        slots = sum(self._store.slots.alive(self._clock.now()).values())
        room = MESSAGES_PER_SLOT * slots - self._store.queued.waiting_in_broker()
        grants = self._store.due.grant(min(room, GRANTS_A_TURN), self._pace.lease_s, self._pace.most)
        if grants:
            self._send(grants)
        return room - len(grants)

    def _send(self, grants: list[Grant]) -> None:
        """Hand grants to the broker. Those of a broker that is away are due again at once; a message that got through all
        the same finds no lease."""
        try:
            self._dispatch(grants)
        except OSError:
            for grant in grants:
                self._store.due.release(grant.work, grant.fence)
            raise

    def _wait_s(self, *, has_room: bool) -> float:
        """Until the next due time, when there is room for it, or lease end; a change wakes the scheduler earlier."""
        waits = [LONGEST_WAIT_S, self._look_at_s - self._clock.boot_s()]
        if self._looking is not None or not self._rounds.is_over:
            waits = [SHORTEST_TURN_S]
        if (next_ms := self._store.due.next_ms(has_room=has_room)) is not None:
            waits.append(max((next_ms - self._store.due.now_ms()) / 1000, 0.05))
        return max(min(waits), 0.01)

    def _step_down(self) -> None:
        try:
            self._store.leader.release()
        except redis.RedisError:
            log.info("leader_lock_left_to_run_out")
