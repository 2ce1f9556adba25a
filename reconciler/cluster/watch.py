"""Follows the objects of one kind that are ours: a list of their metadata, and then every change as the API server tells it.

Watches are for metadata only, with bookmarks, and end after some minutes by themselves, to be resumed where they were.
Where the API server has forgotten that place (410), or answers otherwise than a watch does, everything is listed again,
after a back-off with jitter that honours Retry-After. Protocol: "Efficient detection of changes", Kubernetes API concepts.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from reconciler.errors import AccessDenied, PreconditionFailed, UndriftError, UnknownKind
from reconciler.model.live import Listing, Resource
from reconciler.model.manifest import ObjectKey, Raw

log = structlog.get_logger()
LASTS_S = (240, 300)
"""How long the API server is asked to let one watch last, by chance, so that a thousand do not end together."""
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0


class Watchable(Protocol):
    """What following a kind needs of a cluster."""

    def list(
        self, resource: Resource, *, namespace: str = "", selector: str = "", metadata_only: bool = False
    ) -> Listing: ...

    def watch(self, resource: Resource, *, selector: str, version: str, lasts_s: int) -> Iterator[Mapping[str, Any]]:
        """The events of one watch as they come, metadata only. Raises PreconditionFailed when `version` is forgotten."""


@dataclass(frozen=True, slots=True)
class Everything:
    """All objects of the kind, as they are now: what is not among them is gone."""

    items: Sequence[Raw]


@dataclass(frozen=True, slots=True)
class Changed:
    """One object as it is now."""

    live: Raw


@dataclass(frozen=True, slots=True)
class Gone:
    """One object was deleted, or is none of ours any more."""

    key: ObjectKey


Tell = Callable[[Everything | Changed | Gone], None]


class Follower:
    """Follows one kind until told to stop. `run` is for a thread of its own."""

    def __init__(self, api: Watchable, resource: Resource, selector: str, tell: Tell, stop: threading.Event) -> None:
        self._api, self._resource, self._selector = api, resource, selector
        self._tell, self._stop = tell, stop
        self._dice = random.Random()
        self._wait_s = FIRST_WAIT_S
        self._version = ""

    def run(self) -> None:
        """List, watch, and begin again. Ends when told to, or when the kind is not served or not ours to see."""
        while not self._stop.is_set():
            try:
                if not self._version:
                    self._list()
                self._follow()
                self._wait_s = FIRST_WAIT_S
            except PreconditionFailed:
                self._version = ""  # forgotten: list again
                self._pause(FIRST_WAIT_S)
            except (AccessDenied, UnknownKind) as error:
                log.info("kind_not_watched", kind=self._resource.kind, reason=error.reason)
                return
            except UndriftError as error:
                log.info("watch_interrupted", kind=self._resource.kind, reason=error.reason, message=error.message)
                self._pause(error.retry if isinstance(error.retry, float) else self._wait_s)
                self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_S)

    def _list(self) -> None:
        found = self._api.list(self._resource, selector=self._selector, metadata_only=True)
        self._tell(Everything(found.items))
        self._version = found.resource_version

    def _follow(self) -> None:
        lasts_s = self._dice.randint(*LASTS_S)
        events = self._api.watch(self._resource, selector=self._selector, version=self._version, lasts_s=lasts_s)
        for event in events:
            if self._stop.is_set():
                return
            live = event["object"]
            self._version = str(live["metadata"]["resourceVersion"])
            if event["type"] == "DELETED":
                self._tell(Gone(ObjectKey.of(live)))
            elif event["type"] != "BOOKMARK":
                self._tell(Changed(live))

    def _pause(self, seconds: float) -> None:
        self._stop.wait(seconds * self._dice.uniform(0.5, 1.5))
