"""What `undrift up` asks of the processes it runs: is everything up, did Redis come back, how is the fleet.

Asked from outside, over the same doors as everybody's: Redis, and Flower's API with its login. No question may hold up
the end of everything, so each has a second, and none is asked twice.
"""

from __future__ import annotations

import contextlib
from collections import Counter

import redis
import urllib3
from redis.backoff import NoBackoff
from redis.retry import Retry

from reconciler.clock import SystemClock
from workers.store import Store, composed, open_store

ANSWER_WITHIN_S = 1.0


class Watch:
    """Looks at one local installation."""

    def __init__(self, redis_url: str, flower_url: str, login: tuple[str, str]) -> None:
        self._store = _impatient(redis_url)
        self._flower_url, self._login = flower_url, login
        self._http = urllib3.PoolManager(retries=False, timeout=ANSWER_WITHIN_S)
        self._life = self._redis_life()
        self._was_away = False

    def missing(self, workers: int) -> str:
        """What is not up yet, in words; empty when everything is."""
        try:
            alive = len(self._store.slots.alive(self._store.clock.now()))
            fleet = self._store.fleet.told()
        except redis.RedisError:
            return "Redis does not answer"
        if not fleet["revision"] and not fleet["problems"]:
            return "the scheduler has not read the fleet"
        if alive < workers:
            return f"{alive} of {workers} workers run"
        return "" if self._flower_answers() else "Flower does not answer"

    def redis_came_back(self) -> bool:
        """Whether Redis was away or another one since the last time this was asked."""
        life = self._redis_life()
        if life is None:
            self._was_away = True
            return False
        came_back = self._was_away or life != self._life
        self._life, self._was_away = life, False
        return came_back

    def line(self) -> str:
        """How the fleet is, in one line."""
        try:
            found = composed.statuses(self._store).values()
            workers = len(self._store.slots.alive(self._store.clock.now()))
        except redis.RedisError:
            return "Redis does not answer"
        parts = [f"{len(found)} instances"]
        for of in (Counter(one.sync for one in found), Counter(one.phase for one in found)):
            parts.append(", ".join(f"{count} {word}" for word, count in sorted(of.items())))
        parts += [f"{workers} workers", "Ctrl-C ends everything"]
        return "  ·  ".join(part for part in parts if part)

    def problems(self) -> list[str]:
        """What is wrong in the fleet's files, and what selects nothing."""
        try:
            fleet = self._store.fleet.told()
        except redis.RedisError:
            return []
        return [*fleet["problems"], *fleet["notes"]]

    def close(self) -> None:
        """Close what was opened."""
        self._store.redis.close()
        self._http.clear()

    def _flower_answers(self) -> bool:
        headers = urllib3.make_headers(basic_auth=":".join(self._login))
        with contextlib.suppress(urllib3.exceptions.HTTPError):
            return self._http.request("GET", f"{self._flower_url}/api/task/types", headers=headers).status == 200
        return False

    def _redis_life(self) -> str | None:
        with contextlib.suppress(redis.RedisError):
            return str(self._store.redis.info("server")["run_id"])
        return None


def _impatient(url: str) -> Store:
    mark = "&" if "?" in url else "?"
    store = open_store(
        f"{url}{mark}socket_timeout={ANSWER_WITHIN_S}&socket_connect_timeout={ANSWER_WITHIN_S}", SystemClock()
    )
    store.redis.set_retry(Retry(NoBackoff(), 0))
    return store
