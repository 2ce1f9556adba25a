"""Counts and durations of all workers together, kept in Redis: a worker's children come and go, their counts must not.

A histogram is kept as one field a bucket, not cumulative, so an observation is three increments; it is made cumulative when
it is read. Lost with Redis, as any counter may start anew at any time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import redis

BUCKETS_S = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
LAST = "+Inf"
BOUNDS = (*map(str, BUCKETS_S), LAST)


@dataclass(frozen=True, slots=True)
class Histogram:
    """One histogram: cumulative counts by upper bound, and the sum of all that was observed, in seconds."""

    labels: tuple[str, ...]
    buckets: tuple[tuple[str, float], ...]
    sum_s: float


class Meters:
    """Writes are plain commands, so that they can be part of a task's results."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._redis: Any = client
        self._key = f"{prefix}meters"

    def observe(self, name: str, seconds: float, *labels: str) -> None:
        """Add a duration to a histogram."""
        bound = next((str(bound) for bound in BUCKETS_S if seconds <= bound), LAST)
        self._redis.hincrby(self._key, _field("bucket", name, *labels, bound), 1)
        self._redis.hincrbyfloat(self._key, _field("sum", name, *labels), round(seconds, 6))

    def count(self, name: str, amount: int, *labels: str) -> None:
        """Add to a counter."""
        if amount:
            self._redis.hincrby(self._key, _field("count", name, *labels), amount)

    def count_answers(self, cluster: str, answers: Mapping[str, int]) -> None:
        """Add the requests of a task to an API server, by the status of the answer."""
        for status, amount in answers.items():
            self.count("undrift_api_requests", amount, cluster, status)

    def counters(self, name: str) -> Iterator[tuple[tuple[str, ...], float]]:
        """The values of a counter by its labels."""
        for (kind, found, *labels), value in self._all():
            if (kind, found) == ("count", name):
                yield tuple(labels), value

    def histograms(self, name: str) -> Iterator[Histogram]:
        """The histograms of a name, one for each combination of labels."""
        counts: dict[tuple[str, ...], dict[str, float]] = {}
        sums: dict[tuple[str, ...], float] = {}
        for (kind, found, *labels), value in self._all():
            if found == name and kind == "bucket":
                counts.setdefault(tuple(labels[:-1]), {})[labels[-1]] = value
            elif found == name and kind == "sum":
                sums[tuple(labels)] = value
        for of, by_bound in sorted(counts.items()):
            amounts = [by_bound.get(bound, 0.0) for bound in BOUNDS]
            yield Histogram(of, tuple(zip(BOUNDS, accumulate(amounts), strict=True)), sums.get(of, 0.0))

    def _all(self) -> Iterator[tuple[list[str], float]]:
        for field, value in sorted(self._redis.hgetall(self._key).items()):
            yield field.decode().split("|"), float(value)


def _field(*parts: str) -> str:
    return "|".join(part.replace("|", "_") for part in parts)
