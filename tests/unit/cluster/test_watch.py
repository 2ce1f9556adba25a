"""Following a kind: resumed where it was, listed again where that is forgotten, and never in a hurry."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from reconciler.cluster import watch
from reconciler.cluster.watch import Changed, Everything, Follower, Gone
from reconciler.errors import AccessDenied, PreconditionFailed, TooManyRequests, Unreachable
from reconciler.model.live import Listing, Resource
from reconciler.model.manifest import ObjectKey

KIND = Resource("", "v1", "ConfigMap", "configmaps", True)


def body(name: str, version: int) -> dict[str, Any]:
    meta = {"name": name, "namespace": "shop", "resourceVersion": str(version)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}


def event(kind: str, name: str, version: int) -> dict[str, Any]:
    return {"type": kind, "object": body(name, version)}


class Script:
    """A cluster that answers lists and watches in turn; told to stop when its script is over."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.stop = threading.Event()
        self.told: list[Any] = []

    def list(self, resource: Resource, **_: Any) -> Listing:
        self.asked.append("list")
        return self._next()

    def watch(self, resource: Resource, *, selector: str, version: str, lasts_s: int) -> Iterator[Mapping[str, Any]]:
        self.asked.append(f"watch {version}")
        assert watch.LASTS_S[0] <= lasts_s <= watch.LASTS_S[1]
        yield from self._next()

    def _next(self) -> Any:
        if not self.answers:
            self.stop.set()
            return Listing((), "0") if self.asked[-1] == "list" else []
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found: list[float] = []
    monkeypatch.setattr(Follower, "_pause", lambda self, seconds: found.append(seconds))
    return found


def follow(script: Script) -> list[Any]:
    Follower(script, KIND, "label", script.told.append, script.stop).run()
    return script.told


def test_a_list_and_then_each_change(waits: list[float]) -> None:
    script = Script(
        Listing((body("a", 1),), "5"),
        [event("MODIFIED", "a", 6), event("BOOKMARK", "", 7), event("ADDED", "b", 8), event("DELETED", "a", 9)],
    )

    told = follow(script)

    assert told[0] == Everything((body("a", 1),))
    assert told[1:] == [Changed(body("a", 6)), Changed(body("b", 8)), Gone(ObjectKey("", "ConfigMap", "shop", "a"))]
    assert script.asked == ["list", "watch 5", "watch 9"], "a watch that ended is resumed where it was"
    assert waits == []


def test_a_bookmark_moves_on_the_place_to_resume_at(waits: list[float]) -> None:
    script = Script(Listing((), "5"), [event("BOOKMARK", "", 70)])

    follow(script)

    assert script.asked == ["list", "watch 5", "watch 70"]


def test_a_forgotten_place_means_to_list_again(waits: list[float]) -> None:
    script = Script(Listing((), "5"), PreconditionFailed("too old"), Listing((body("a", 8),), "9"), [])

    told = follow(script)

    assert script.asked == ["list", "watch 5", "list", "watch 9", "watch 9"]
    assert told == [Everything(()), Everything((body("a", 8),))]
    assert waits == [watch.FIRST_WAIT_S]


def test_an_api_server_that_does_not_answer_is_asked_less_and_less_often(waits: list[float]) -> None:
    script = Script(*[Unreachable("away") for _ in range(8)], Listing((), "5"), [], Unreachable("again"))

    follow(script)

    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 1.0]
    assert script.asked[8:] == ["list", "watch 5", "watch 5", "watch 5"], "the place is kept"


def test_one_that_asks_for_time_gets_it(waits: list[float]) -> None:
    script = Script(TooManyRequests("busy", retry=17.0), Listing((), "5"))

    follow(script)

    assert waits == [17.0]


def test_a_kind_that_we_may_not_see_is_left(waits: list[float]) -> None:
    script = Script(AccessDenied("no"))

    assert follow(script) == []
    assert (script.asked, script.stop.is_set()) == (["list"], False)
