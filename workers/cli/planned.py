"""How the outcomes of a fleet plan are told: equal ones together, over however many clusters they are.

`397 clusters: the same 3 lines; 2 differ; 1 unreachable` is what four hundred plans say when they are one change and three
questions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from reconciler.objects import diff
from workers.cli import output
from workers.cli.planning import Changed, Held, Outcome, as_json

DIFFERENT, USAGE, FAILED, HELD, AWAY = 1, 2, 3, 4, 5
MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class Group:
    """Clusters on which a sync of an application would do the same."""

    clusters: tuple[str, ...]
    changes: tuple[Changed, ...]
    holds: tuple[Held, ...]

    @property
    def lines(self) -> list[str]:
        return [line for one in self.changes for line in _lines(one)] + [
            f"HELD {one.reason}: {', '.join(one.objects)}" for one in self.holds
        ]


@dataclass(frozen=True, slots=True)
class Told:
    """One application: groups by size, and what can't be said."""

    application: str
    groups: tuple[Group, ...]
    unknown: tuple[Outcome, ...]

    @property
    def heading(self) -> str:
        """The whole of it in one line."""
        first, *others = self.groups or (None,)
        parts = [] if first is None else [f"{_count(len(first.clusters))}: {_what(first)}"]
        differ = sum(len(one.clusters) for one in others if one is not None)
        held = sum(len(one.clusters) for one in self.groups if one.holds)
        away = sum(one.is_away for one in self.unknown)
        counts = {"differ" if differ > 1 else "differs": differ, "held": held, "unreachable": away}
        counts["failed"] = len(self.unknown) - away
        return "; ".join([*parts, *(f"{count} {word}" for word, count in counts.items() if count)])


def tell(outcomes: Sequence[Outcome]) -> list[Told]:
    """The outcomes by application, equal ones together, the largest group first."""
    by_application: dict[str, list[Outcome]] = {}
    for one in outcomes:
        by_application.setdefault(f"{one.instance.project}/{one.instance.application}", []).append(one)
    return [
        Told(name, tuple(_groups(found)), tuple(one for one in found if one.error is not None))
        for name, found in sorted(by_application.items())
    ]


def _groups(outcomes: Sequence[Outcome]) -> list[Group]:
    same: dict[bytes, list[Outcome]] = {}
    for one in outcomes:
        if one.error is None:
            parts: list[Changed | Held] = [*one.changes, *one.holds]
            text = orjson.dumps([as_json(part) for part in parts], default=str)
            same.setdefault(text, []).append(one)
    groups = [
        Group(tuple(sorted(one.instance.cluster for one in found)), found[0].changes, found[0].holds)
        for found in same.values()
    ]
    return sorted(groups, key=lambda one: (-len(one.clusters), one.clusters))


def exit_code(outcomes: Sequence[Outcome], *, is_whole: bool) -> int:
    """The code of the worst: what is wrong in the files first, then what would fail, what is not known, what waits."""
    if not is_whole:
        return USAGE
    if any(one.is_failed for one in outcomes):
        return FAILED
    if any(one.is_away for one in outcomes):
        return AWAY
    if any(one.holds for one in outcomes):
        return HELD
    return DIFFERENT if any(one.changes for one in outcomes) else 0


def show(told: Sequence[Told]) -> None:
    """Print it for people."""
    for one in told:
        print(f"{one.application.removeprefix('default/')}: {one.heading}")
        for line in _body(one):
            print(f"  {line}")


def _body(told: Told) -> Iterator[str]:
    is_alone = len(told.groups) == 1 and not told.unknown
    for group in told.groups:
        lines = group.lines
        if not (is_alone and not lines):
            yield f"{_named(group.clusters)}{':' if lines else ': no changes'}"
        yield from (f"  {line}" for line in lines)
    # What is wrong is mostly the same on many clusters, too, and told once.
    same: dict[tuple[bool, str], list[str]] = {}
    for one in told.unknown:
        message = one.error.message if one.error else ""
        same.setdefault((one.is_away, message), []).append(one.instance.cluster)
    for (is_away, message), clusters in same.items():
        yield f"{_named(tuple(sorted(clusters)))}: {'unreachable' if is_away else 'failed'}: {message}"


def _lines(one: Changed) -> list[str]:
    head = f"{one.action} {one.object}"
    if one.refused:
        return [f"{head}: refused: {one.refused}"]
    return [f"{head} {diff.line(each)}" for each in one.differences] or [head]


def _what(group: Group) -> str:
    count = len(group.lines)
    if not count:
        return "no changes"
    return f"{'the same ' if len(group.clusters) > 1 else ''}{count} line{'s' if count > 1 else ''}"


def _count(number: int) -> str:
    return f"{number} cluster{'s' if number > 1 else ''}"


def _named(clusters: tuple[str, ...]) -> str:
    more = f" and {len(clusters) - MOST_NAMED} more" if len(clusters) > MOST_NAMED else ""
    return f"{', '.join(clusters[:MOST_NAMED])}{more}"


def document(told: Sequence[Told], problems: Sequence[str]) -> dict[str, Any]:
    """All of it for programs."""
    return {
        "apiVersion": output.API_VERSION,
        "kind": "FleetPlan",
        "problems": list(problems),
        "applications": [
            {
                "application": one.application,
                "summary": one.heading,
                "groups": [
                    {
                        "clusters": list(group.clusters),
                        "changes": [as_json(change) for change in group.changes],
                        "holds": [as_json(hold) for hold in group.holds],
                    }
                    for group in one.groups
                ],
                "unreachable": [_unknown_json(each) for each in one.unknown if each.is_away],
                "failed": [_unknown_json(each) for each in one.unknown if not each.is_away],
            }
            for one in told
        ],
    }


def _unknown_json(one: Outcome) -> dict[str, str]:
    error = one.error
    return {
        "cluster": one.instance.cluster,
        "reason": error.reason if error else "",
        "message": error.message if error else "",
    }
