"""Notices against a plain model of a receiver, with attempts that fail, arrive unknown, or are killed, and an emptied Redis.

The receiver does what `docs/how-to/notices.md` tells it to: a notice opens its key, a Recovered closes the key that it
ends, and a repeat of either changes nothing. Whatever happened on the way, in the end its open keys are what is true.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from reconciler.notify import UPDATE_EVERY, WINDOW, Current, Told, body, compare, delivered, failed, pending
from reconciler.notify.notice import MOST_INSTANCES
from tests.notices import NOW, seen, status

INSTANCES = [f"default/{application}@c{number}" for application in ("web", "api") for number in range(3)]
STATES = {
    "well": ("Idle", "Synced"),
    "failed": ("Failed", "TemplateFailed"),
    "refused": ("Failed", "AdmissionDenied"),
    "held": ("Held", "TooManyDeletions"),
    "syncing": ("Syncing", "Synced"),
}
ENDINGS = ("arrives", "is refused", "arrives unnoticed", "is killed before", "is killed after")


def sorted_of(states: Mapping[str, str]) -> Current:
    return seen(*(status(name, *STATES[state]) for name, state in states.items()))


class Telling(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.states = dict.fromkeys(INSTANCES, "well")
        self.decided = dict(self.states)
        self.book: dict[str, Told] = {}
        self.true: Collection[str] = ()
        """The keys that held at the last look, each instance as it was last decided."""
        self.open: set[str] = set()
        self.lost: set[str] = set()
        """Keys that were open when Redis was emptied: their end may be lost with it."""

    @rule(name=st.sampled_from(INSTANCES), state=st.sampled_from(sorted(STATES)))
    def become(self, name: str, state: str) -> None:
        self.states[name] = state
        if state != "syncing":
            self.decided[name] = state

    @rule(state=st.sampled_from(sorted(STATES)))
    def become_all(self, state: str) -> None:
        for name in INSTANCES:
            self.become(name, state)

    @rule(seconds=st.sampled_from([0, 1, 5, 11, 60, 400]))
    def pass_time(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule()
    def look(self) -> None:
        self.book = compare(self.book, sorted_of(self.states), self.now)
        self.true = sorted_of(self.decided).topics.keys()

    @rule(steps=st.lists(st.tuples(st.sampled_from(["failed", "well"]), st.sampled_from(ENDINGS)), max_size=5))
    def come_and_go(self, steps: list[tuple[str, str]]) -> None:
        """What is rare among single steps: told, over, and there again while the end is being told."""
        for state, ending in steps:
            self.become_all(state)
            self.look()
            self.pass_time(11)
            self.attempt(ending)

    @rule(ending=st.sampled_from(ENDINGS))
    def attempt(self, ending: str) -> None:
        """One attempt, of what is due for longest; the book says so before it begins."""
        for entry in pending(self.book, self.now)[:1]:
            key, begun = entry.topic.key, replace(entry, tries=entry.tries + 1)
            self.book[key] = begun
            if ending in ("arrives", "arrives unnoticed", "is killed after"):
                self.receive(begun)
            if ending in ("is refused", "arrives unnoticed"):
                self.book[key] = failed(begun, self.now)
            if ending == "arrives":
                self.record(key, delivered(begun, self.now))

    def receive(self, entry: Told) -> None:
        notice = json.loads(body(entry))
        assert len(notice["instances"]) <= MOST_INSTANCES
        assert notice["count"] == len(entry.instances)
        if notice["condition"] == "Recovered":
            assert notice["ends"] == entry.topic.key
            assert notice["ends"] not in self.true, "told as over while a pass runs that decides it"
            self.open.discard(notice["ends"])
        else:
            self.open.add(notice["key"])

    def record(self, key: str, entry: Told | None) -> None:
        if entry is None:
            del self.book[key]
        else:
            self.book[key] = entry

    @precondition(lambda self: self.book)
    @rule()
    def empty_redis(self) -> None:
        self.lost |= self.open
        self.book.clear()

    @rule()
    def settle(self) -> None:
        """All is decided, the receiver is well, and time passes: its open keys are what is true."""
        for name, state in self.states.items():
            if state == "syncing":
                self.become(name, self.decided[name])
        for _ in range(3):
            self.look()
            self.now += UPDATE_EVERY + WINDOW
            while pending(self.book, self.now):
                self.attempt("arrives")
        self.look()
        assert self.true <= self.open
        assert self.open - self.true <= self.lost, "told, over, and its end was never told"
        assert all(entry.due is None for entry in self.book.values()), "something is told again and again"
        assert self.book.keys() == self.true

    @invariant()
    def nothing_waits_that_nobody_was_told_of_and_that_is_over(self) -> None:
        for entry in self.book.values():
            assert not entry.has_ended or entry.told is not None or entry.tries
            assert entry.due is not None or not entry.has_ended


TestTelling = Telling.TestCase
TestTelling.settings = settings(
    max_examples=1000 if os.environ.get("UNDRIFT_SOAK") == "1" else 150, stateful_step_count=40, deadline=None
)
