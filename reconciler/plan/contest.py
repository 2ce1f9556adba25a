"""Loses a fight politely (invariant 7).

The same object healed 3 times within 10 minutes is contested: its next heal waits 2 s, then 6, 18 … (2 s · 3ⁿ) up to
10 minutes, counted over the whole fight. Half an hour without a heal ends it; a heal that succeeds does not, since in a
fight every heal succeeds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from reconciler.model.changeset import Drift
from reconciler.model.manifest import ObjectKey
from reconciler.model.record import Heals

FREE_HEALS = 3
WINDOW = timedelta(minutes=10)
QUIET = timedelta(minutes=30)
FIRST_WAIT = timedelta(seconds=2)
LONGEST_WAIT = timedelta(minutes=10)


def is_waiting(heals: Mapping[ObjectKey, Heals], key: ObjectKey, now: datetime) -> bool:
    """Whether the object's next heal must still wait."""
    fight = heals.get(key)
    return fight is not None and fight.until is not None and now < fight.until


def is_on(fight: Heals) -> bool:
    """Whether an object is contested: from its third heal until half an hour of quiet, though each heal succeeds."""
    return fight.waits > 0


def quiet_at(fight: Heals) -> datetime:
    """When a fight is over, if nothing is healed until then."""
    last = max(fight.at)
    return max(last, fight.until or last) + QUIET


def after_heals(heals: Mapping[ObjectKey, Heals], healed: Iterable[Drift], now: datetime) -> Mapping[ObjectKey, Heals]:
    """The memory of fights after this pass's heals, with those that have been quiet for half an hour forgotten."""
    kept = {key: fight for key, fight in heals.items() if not _is_over(fight, now)}
    counted: set[ObjectKey] = set()
    for drift in healed:
        fight = kept.get(drift.key, Heals())
        if drift.key not in counted:
            fight = _healed_once_more(fight, now)
            counted.add(drift.key)
        kept[drift.key] = replace(fight, field=drift.field or fight.field, manager=drift.manager or fight.manager)
    return kept


def _is_over(fight: Heals, now: datetime) -> bool:
    return bool(fight.at) and now >= quiet_at(fight)


def _healed_once_more(fight: Heals, now: datetime) -> Heals:
    at = (*(moment for moment in fight.at if now - moment < WINDOW), now)[-FREE_HEALS:]
    if len(at) < FREE_HEALS and not fight.waits:
        return replace(fight, at=at)
    # Exponents past 8 are past ten minutes; the bound keeps a long fight from overflowing.
    wait = min(FIRST_WAIT * 3 ** min(fight.waits, 8), LONGEST_WAIT)
    return replace(fight, at=at, waits=fight.waits + 1, until=now + wait)
