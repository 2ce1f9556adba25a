"""What a task reads before it begins, and what it leaves behind: one look-up, and one write with the end of its lease."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import redis

from reconciler.clock import Clock
from reconciler.model.brake import Brake, scopes
from reconciler.model.instance import InstanceKey
from reconciler.model.record import Memory
from reconciler.model.spec import InstanceSpec
from reconciler.model.status import InstanceStatus
from workers.messages import Mark
from workers.store.approvals import Approvals
from workers.store.brakes import widest
from workers.store.closures import Closures
from workers.store.due import wishes
from workers.store.events import Events
from workers.store.looks import Looks
from workers.store.memories import Memories, memory_of
from workers.store.meters import Meters
from workers.store.outbox import Outbox
from workers.store.packed import readable
from workers.store.requests import Requests
from workers.store.scripts import script
from workers.store.specs import SpecStore
from workers.store.status import StatusStore, status_of
from workers.store.tombstones import Tombstone, Tombstones, decoded
from workers.store.unjudged import Unjudged

MARK = "MARK"
"""No command of Redis but one of `queue.lua`."""
WORDS_A_PIECE = 2000


@dataclass(frozen=True, slots=True)
class Brief:
    """All that is known of an instance as its sync begins. `judged` is the commit through which its source was judged."""

    spec: InstanceSpec | None
    is_of_fleet: bool
    has_left: bool
    wants_teardown: bool
    status: InstanceStatus
    memory: Memory
    judged: str | None
    approval: str | None
    cluster_uid: str
    tombstone: Tombstone | None
    stranger: str
    """Why nothing may be written to what answers under the cluster's name; empty when it is who it was."""
    brake: Brake | None

    @property
    def is_unknown(self) -> bool:
        """Whether no sync of it is known."""
        return self.status.last_sync is None and self.memory == Memory()


class Briefs:
    def __init__(self, client: redis.Redis, clock: Clock, prefix: str) -> None:
        self._clock, self._prefix = clock, prefix
        self._read: Any = client.register_script(script("brief"))

    def get(self, key: InstanceKey) -> Brief:
        found = self._read(args=[self._prefix, str(key), key.cluster, *scopes(key)])
        spec, is_of_fleet, has_left, teardown, status, memory, judged, approval, pin, stone, stranger, brakes = found
        return Brief(
            spec=readable(spec, InstanceSpec.model_validate_json, "spec", key),
            is_of_fleet=bool(is_of_fleet),
            has_left=bool(has_left),
            wants_teardown=bool(teardown),
            status=status_of(key, status),
            memory=memory_of(key, memory),
            judged=judged.decode() if judged else None,
            approval=approval.decode() if approval else None,
            cluster_uid=pin.decode() if pin else "",
            tombstone=decoded(stone),
            stranger=stranger.decode() if stranger else "",
            brake=widest(scopes(key), brakes, self._clock.now()),
        )


class Results:
    """What a task found. Kept here until its lease ends, and written in that step, only if the lease is still its own. A
    list that may be long is given in several commands: Lua hands no more than some thousand words to one."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._kept: Any = client.pipeline(transaction=False)  # never executed: it only collects the commands
        self.status = StatusStore(self._kept, prefix)
        self.memories = Memories(self._kept, prefix)
        self.approvals = Approvals(self._kept, prefix)
        self.unjudged = Unjudged(self._kept, prefix)
        self.looks = Looks(self._kept, prefix)
        self.closures = Closures(self._kept, prefix)
        self.events = Events(self._kept, prefix)
        self.requests = Requests(self._kept, prefix)
        self.outbox = Outbox(self._kept, prefix)
        self.meters = Meters(self._kept, prefix)
        self.specs = SpecStore(self._kept, prefix)
        self.tombstones = Tombstones(self._kept, prefix)

        self.outcome = "Done"
        """How it ended, for the durations: a word of few values."""

    def mark(self, marks: Iterable[Mark], now_ms: int) -> None:
        """Wish for work, as `DueQueue.mark` does."""
        for rows in wishes(marks, now_ms):
            self._kept.execute_command(MARK, rows)

    def commands(self) -> list[Any]:
        """Every command: the number of its words, then the words."""
        return [word for words, _ in self._kept.command_stack for word in (len(words), *words)]

    def pieces(self) -> Iterator[list[Any]]:
        """The same in parts for `DueQueue.step`, in their order, none of which keeps Redis busy for long."""
        piece: list[Any] = []
        for words, _ in self._kept.command_stack:
            piece += (len(words), *words)
            if len(piece) >= WORDS_A_PIECE or words[0] == MARK:
                yield piece
                piece = []
        if piece:
            yield piece
