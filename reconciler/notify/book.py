"""The book of what was told: compared with what is true now, it says what is due to be told.

An entry lives from the first sight of its topic to the delivery of its end. New topics wait for a short window, so that
400 clusters that fail one after the other are one notice, and what ends within it is never told. A condition of which an
attempt was begun may have arrived, whatever came of the attempt: its end is told, too, and if it comes back before that is
known to have arrived it is told again. So the receiver's last word on a key is always right, at the price of repeats, which
it can drop by their key.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from reconciler.notify.current import Current, Seen
from reconciler.notify.topic import Condition, Topic

WINDOW = timedelta(seconds=10)
UPDATE_EVERY = timedelta(minutes=5)
"""A topic that spreads to more instances is told again at most this often."""
LONGEST_RETRY_S = 300
MOST_ENTRIES = 10_000


@dataclass(frozen=True, slots=True)
class Told:
    """One topic, and how far the telling is."""

    topic: Topic
    message: str
    instances: tuple[str, ...]
    at: datetime
    """When it was first seen to be as it is now: begun, spread or ended."""
    due: datetime | None
    """When to tell it; None when there is nothing to tell."""
    tries: int = 0
    """Attempts begun of what is due. Noted before each: one that was killed counts."""
    told: tuple[str, ...] | None = None
    """The instances of the last notice that arrived; None while none has."""
    told_at: datetime | None = None
    has_ended: bool = False
    end: str = ""
    """How it ended, in a sentence."""

    @property
    def tells_the_end(self) -> bool:
        """Whether what is due is that it ended: never before it was told itself."""
        return self.has_ended and self.told is not None

    @property
    def condition(self) -> Condition:
        """Of the notice that is due."""
        return Condition.RECOVERED if self.tells_the_end else self.topic.condition


def compare(book: Mapping[str, Told], seen: Current, now: datetime) -> dict[str, Told]:
    """The book as it is to be now. Entries that nothing has changed stay equal."""
    where = {name: one.topic for one in seen.topics.values() for name in one.instances if one.topic.application}
    found: dict[str, Told] = {}
    for key in sorted(book.keys() | seen.topics.keys()):
        before = book.get(key)
        is_now = _with_undecided(before, seen.topics.get(key), seen.undecided)
        entry = _gone(before, where, now) if is_now is None else _there(before, is_now, now)
        if entry is not None:
            found[key] = entry
    return _bounded(found)


def pending(book: Mapping[str, Told], now: datetime) -> list[Told]:
    """What is to be told now, the longest due first, so that one that is refused again and again stops no other."""
    due = [(one.due, key) for key, one in book.items() if one.due is not None and one.due <= now]
    return [book[key] for _, key in sorted(due)]


def delivered(entry: Told, now: datetime) -> Told | None:
    """The entry after its notice arrived; None when that was the last word."""
    if entry.tells_the_end:
        return None
    due = now if entry.has_ended else None
    return replace(entry, told=entry.instances, told_at=now, due=due, tries=0)


def failed(entry: Told, now: datetime) -> Told:
    """The entry after an attempt that did not arrive, as far as we know."""
    return replace(entry, due=now + back_off(entry.tries))


def back_off(tries: int) -> timedelta:
    """1, 2, 4 … 300 s after so many attempts in a row."""
    return timedelta(seconds=min(2 ** min(max(tries, 1) - 1, 16), LONGEST_RETRY_S))


def _with_undecided(before: Told | None, seen: Seen | None, undecided: frozenset[str]) -> Seen | None:
    """What is seen, with those instances of an open entry of which nothing can be said now."""
    kept = undecided.intersection(before.instances) if before is not None and not before.has_ended else frozenset()
    if before is None or not kept:
        return seen
    if seen is None:
        return Seen(before.topic, tuple(sorted(kept)), before.message)
    return replace(seen, instances=tuple(sorted(kept.union(seen.instances))))


def _there(before: Told | None, seen: Seen, now: datetime) -> Told:
    if before is None:
        return Told(seen.topic, seen.message, seen.instances, at=now, due=now + WINDOW)
    entry = replace(before, message=seen.message, instances=seen.instances)
    if before.has_ended:
        return _back(entry, now)
    if entry.told is None or entry.told_at is None or entry.due is not None:
        return entry
    if seen.topic.application and set(seen.instances) - set(entry.told):
        return replace(entry, at=now, due=max(now, entry.told_at + UPDATE_EVERY), tries=0)
    return entry


def _back(entry: Told, now: datetime) -> Told:
    """It is there again before its end was told. Unless that was tried, nobody needs to know."""
    back = replace(entry, has_ended=False, end="")
    if entry.told is None:
        return back
    return replace(back, due=now if entry.tries else None, at=now if entry.tries else entry.at, tries=0)


def _gone(before: Told | None, where: Mapping[str, Topic], now: datetime) -> Told | None:
    if before is None or before.has_ended:
        return before
    if before.told is None and not before.tries:
        return None
    ended = replace(before, has_ended=True, at=now, end=_end(before, where))
    if before.told is None:
        return ended
    # Something of it was still due, so the receiver may have closed it since: then its return must be told again.
    return replace(ended, due=now + WINDOW, tries=0 if before.due is None else 1)


def _end(before: Told, where: Mapping[str, Topic]) -> str:
    topic, count = before.topic, len(before.instances)
    on = f" on {count} instance{'s' if count != 1 else ''}" if topic.application else ""
    others = Counter(f"{where[name].condition} ({where[name].reason})" for name in before.instances if name in where)
    now = "".join(f"; {number} now {what}" for what, number in sorted(others.items()))
    return f"{topic.subject}: no longer {topic.condition} ({topic.reason}){on}{now}"


def _bounded(book: dict[str, Told]) -> dict[str, Told]:
    """At most so many entries: what has ended and could not be told for longest goes first."""
    surplus: Sequence[str] = sorted((key for key in book if book[key].has_ended), key=lambda key: book[key].at)
    for key in surplus[: max(len(book) - MOST_ENTRIES, 0)]:
        del book[key]
    return book
