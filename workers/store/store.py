"""The store as one thing: what scheduler, tasks and commands open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import redis

from reconciler.clock import Clock
from workers.store.approvals import Approvals
from workers.store.brakes import Brakes
from workers.store.brief import Briefs, Results
from workers.store.clocks import Clocks
from workers.store.closures import Closures
from workers.store.due import DueQueue
from workers.store.events import Events
from workers.store.fleet import FleetStore
from workers.store.keys import PREFIX
from workers.store.leader import Leader
from workers.store.looks import Looks
from workers.store.memories import Memories
from workers.store.meters import Meters
from workers.store.notices import Notices
from workers.store.outbox import Outbox
from workers.store.pins import Pins
from workers.store.proven import ProvenStore
from workers.store.queued import Queued
from workers.store.requests import Requests
from workers.store.shares import Shares
from workers.store.slots import WorkerSlots
from workers.store.specs import SpecStore
from workers.store.status import StatusStore
from workers.store.tombstones import Tombstones
from workers.store.unjudged import Unjudged
from workers.store.visits import Visits

SOCKET_TIMEOUT_S = 30.0
_WIPE = """
local deleted, cursor = 0, '0'
repeat
  local page = redis.call('SCAN', cursor, 'MATCH', ARGV[1] .. '*', 'COUNT', 1000)
  cursor = page[1]
  for _, key in ipairs(page[2]) do deleted = deleted + redis.call('UNLINK', key) end
until cursor == '0'
return deleted
"""


@dataclass(frozen=True, slots=True)
class Store:
    """All that is remembered in one Redis, under one prefix."""

    redis: redis.Redis
    due: DueQueue
    queued: Queued
    fleet: FleetStore
    specs: SpecStore
    status: StatusStore
    memories: Memories
    looks: Looks
    proven: ProvenStore
    unjudged: Unjudged
    approvals: Approvals
    closures: Closures
    events: Events
    requests: Requests
    slots: WorkerSlots
    leader: Leader
    briefs: Briefs
    brakes: Brakes
    outbox: Outbox
    pins: Pins
    meters: Meters
    tombstones: Tombstones
    notices: Notices
    clocks: Clocks
    shares: Shares
    visits: Visits
    clock: Clock
    prefix: str

    def results(self) -> Results:
        """A new collection of what a task finds, to be written as its lease ends."""
        return Results(self.redis, self.prefix)

    def wipe(self) -> int:
        """Delete all our keys in one step, so that no half of them is ever taken for the whole; how many they were."""
        client: Any = self.redis  # typed for the asynchronous client too
        return int(client.eval(_WIPE, 0, self.prefix))


def open_store(url: str, clock: Clock, *, prefix: str = PREFIX) -> Store:
    """The store at a Redis URL (`redis://`, `rediss://`, `unix://`). Connects at the first use."""
    client = redis.Redis.from_url(
        url, socket_timeout=SOCKET_TIMEOUT_S, socket_connect_timeout=5.0, health_check_interval=25
    )
    return Store(
        redis=client,
        due=DueQueue(client, clock, prefix),
        queued=Queued(client, clock, prefix),
        fleet=FleetStore(client, prefix),
        specs=SpecStore(client, prefix),
        status=StatusStore(client, prefix),
        memories=Memories(client, prefix),
        looks=Looks(client, prefix),
        proven=ProvenStore(client, prefix),
        unjudged=Unjudged(client, prefix),
        approvals=Approvals(client, prefix),
        closures=Closures(client, prefix),
        events=Events(client, prefix),
        requests=Requests(client, prefix),
        slots=WorkerSlots(client, prefix),
        leader=Leader(client, prefix),
        briefs=Briefs(client, clock, prefix),
        brakes=Brakes(client, prefix),
        outbox=Outbox(client, prefix),
        pins=Pins(client, prefix),
        meters=Meters(client, prefix),
        tombstones=Tombstones(client, prefix),
        notices=Notices(client, prefix),
        clocks=Clocks(client, clock, prefix),
        visits=Visits(client, prefix, clock),
        shares=Shares(client, prefix),
        clock=clock,
        prefix=prefix,
    )
