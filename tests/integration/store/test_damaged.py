"""One text in Redis that something wrote over: its instance is unknown, and nobody else's knowledge suffers."""

from __future__ import annotations

import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from reconciler.model.instance import InstanceKey
from reconciler.model.record import Memory
from tests import worlds
from workers.store import Store, composed, packed
from workers.store.keys import PREFIX
from workers.store.packed import pack, unpack
from workers.store.status import blank

A, B = InstanceKey.parse("a/x@eu-1"), InstanceKey.parse("b/y@eu-1")


def bomb(mib: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, zdict=packed.DICTIONARY)
    parts = [packer.compress(b" " * (1 << 20)) for _ in range(mib)]
    return packed.VERSION + b"".join(parts) + packer.flush()


DAMAGED = {
    "no deflate": packed.VERSION + b"junk",
    "cut off": pack(b'{"a": "' + bytes(range(256)) + b'"}')[:-9],
    "no JSON": pack(b"{"),
    "a list": pack(b"[]"),
    "null": pack(b"null"),
    "other fields": pack(b'{"phase": 1}'),
    "a memory of odd parts": pack(b'{"closure": [], "entry": [1], "unflushed": 5, "heals": 0, "waiting_since": "x"}'),
    "too long": bomb(17),
}


@pytest.fixture(autouse=True)
def _told_anew() -> None:
    packed._warn.cache_clear()


@pytest.mark.parametrize("damaged", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_memory_is_unknown_and_the_others_are_read(store: Store, damaged: bytes) -> None:
    for key in (A, B):
        store.memories.put(key, Memory())
    store.redis.hset(f"{PREFIX}memory", str(A), damaged)

    with capture_logs() as logs:
        assert store.memories.many([A, B]) == {B: Memory()}
        assert store.memories.closures([A, B]) == {B: None}
        assert store.memories.get(A) == store.briefs.get(A).memory == Memory()

    assert [(one["event"], one["what"], one["whose"]) for one in logs] == [("stored_text_damaged", "memory", str(A))]


@pytest.mark.parametrize("damaged", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_status_is_blank_and_the_others_are_read(store: Store, damaged: bytes) -> None:
    seen = blank(B).model_copy(update={"message": "seen"})
    store.status.put_all([blank(A), seen])
    store.redis.hset(f"{PREFIX}status", str(A), damaged)

    with capture_logs() as logs:
        assert store.status.many([A, B]) == {A: blank(A), B: seen}
        assert store.status.get(A) == store.briefs.get(A).status == blank(A)

    assert [(one["event"], one["what"], one["whose"]) for one in logs] == [("stored_text_damaged", "status", str(A))]


def test_a_damaged_status_is_written_over_by_the_next_amend(store: Store) -> None:
    store.redis.hset(f"{PREFIX}status", str(A), DAMAGED["no deflate"])

    store.status.amend(store.status.read([A]), lambda _, status: status.model_copy(update={"message": "seen"}))

    assert store.status.get(A).message == "seen"


@pytest.mark.parametrize("damaged", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_spec_is_missing_and_the_others_are_read(store: Store, damaged: bytes) -> None:
    spec = worlds.spec()
    store.fleet.publish({spec.key: spec}, {spec.cluster.name: spec.cluster}, {})
    store.redis.hset(f"{PREFIX}instances", str(A), "damaged")
    store.redis.hset(f"{PREFIX}specs", "damaged", damaged)

    assert store.specs.many([A, spec.key]) == {spec.key: spec}
    assert [key for key, _ in store.specs.labels()] == [spec.key]
    assert store.specs.get(A) is store.briefs.get(A).spec is None
    assert [one.instance for one in composed.statuses(store).values()] == [str(A), str(spec.key)]


def test_what_another_version_wrote_is_unknown_and_no_damage(store: Store) -> None:
    store.redis.hset(f"{PREFIX}memory", str(A), b"\x02anything")

    with capture_logs() as logs:
        assert store.memories.many([A]) == {}

    assert logs == []


@pytest.mark.parametrize("make", [pack, lambda text: bomb(200)], ids=["whole", "a bomb"])
def test_a_text_inflates_to_no_more_than_its_bound(make: Callable[[bytes], bytes]) -> None:
    stored = make(b"x" * packed.MOST_BYTES)
    tracemalloc.start()
    found = unpack(stored)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert found in (b"x" * packed.MOST_BYTES, None)
    assert peak < 4 * packed.MOST_BYTES
