"""Opens the rooms of one process from its settings. A worker child does so at its first task, never before the fork."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cache

from reconciler.apply import Inventories
from reconciler.clock import SystemClock
from reconciler.cluster import Clusters
from reconciler.credentials import Credentials
from reconciler.journal import Journal
from reconciler.pipeline.rooms import Rooms
from reconciler.ports import Visits
from reconciler.render import Renderer
from reconciler.source import SourceRoom
from workers import settings as settings_module
from workers.copying import JournalCopy
from workers.settings import Settings
from workers.store import Store, open_store


@cache
def settings() -> Settings:
    """This process's settings."""
    return settings_module.from_env(os.environ)


@cache
def store() -> Store:
    """This process's store. A command that only asks it must not make a home that is gone."""
    return open_store(settings_module.from_env(os.environ, makes_home=False).redis_url, SystemClock())


@cache
def rooms() -> Rooms:
    """This process's rooms; the render helper and the connections start when they are first needed."""
    return open_rooms(settings(), visits=store().visits)


def journal() -> Journal:
    """The journal on this installation's state volume."""
    return Journal(settings().home / "journal.git", SystemClock())


def journal_copy() -> JournalCopy | None:
    """The journal's copy; None when none is wanted."""
    chosen = settings()
    if chosen.journal_repo is None:
        return None
    return JournalCopy(journal(), chosen.journal_repo, Credentials(chosen.env, chosen.credentials), store())


WATCHED_AT_ONCE = 256
"""Kinds of one cluster that a watcher may follow; each holds a connection."""


def open_watching_rooms(chosen: Settings) -> Rooms:
    """Rooms for a watcher, which holds many requests open and writes nothing."""
    clock = SystemClock()
    clusters = Clusters(
        Credentials(chosen.env, chosen.credentials),
        chosen.kubeconfigs,
        clock,
        is_read_only=True,
        pool_size=WATCHED_AT_ONCE,
    )
    return replace(open_rooms(chosen), clusters=clusters)


def open_rooms(chosen: Settings, source: type[SourceRoom] = SourceRoom, *, visits: Visits | None = None) -> Rooms:
    """Rooms for settings: mirrors and render folders lie in the home's cache, which may be deleted at any time. They need no
    Redis unless `visits` does."""
    clock = SystemClock()
    credentials = Credentials(chosen.env, chosen.credentials)
    return Rooms(
        source=source(chosen.home / "mirrors", credentials, clock, private=[chosen.home], visits=visits),
        renderer=Renderer(chosen.home / "render" / str(os.getpid()), cache=chosen.home / "renders"),
        clusters=Clusters(credentials, chosen.kubeconfigs, clock, is_read_only=chosen.observes),
        inventories=Inventories(chosen.installation(), clock),
        clock=clock,
    )
