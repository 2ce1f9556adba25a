"""The fleet as its files say it, without Redis: which fleet a command means, and which of its instances.

`undrift fleet` commands take one word and `--fleet`: a word that is a folder here, or a URL, is the fleet itself; any other
is an application of the fleet that `--fleet` names (default: the one here).
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from reconciler.fleet import Expansion, Fleet, Problem, expand, load, with_dev_clusters
from reconciler.model.instance import DEFAULT_PROJECT, InstanceKey
from reconciler.pipeline.rooms import Rooms
from reconciler.source import open_fleet
from workers.asking import in_several_projects
from workers.cli.selecting import NotFound
from workers.settings import Settings


@dataclass(frozen=True, slots=True)
class Meant:
    """What a command was asked about; an empty part means all."""

    location: str
    application: str = ""
    clusters: tuple[str, ...] = ()

    @property
    def is_one_word(self) -> bool:
        """Whether an application was named that a mistyped folder could have been."""
        return bool(self.application) and self.location == "."

    @classmethod
    def by(cls, word: str, fleet: str, clusters: Iterable[str] = ()) -> Meant:
        """From the word and the options as they were typed."""
        if fleet or not word:
            return cls(fleet or ".", word, tuple(clusters))
        is_fleet = "://" in word or word.startswith("git@") or Path(word).is_dir()
        if not is_fleet and "/" in word.rstrip("/") and word.startswith((".", "/", "~")):
            raise NotFound(f"{word}: no such folder")
        return cls(word, "", tuple(clusters)) if is_fleet else cls(".", word, tuple(clusters))


def read(location: str, rooms: Rooms, dev_clusters: Iterable[str] = ()) -> tuple[Fleet, Expansion]:
    """The fleet at a location, as it would come into force without anything before it."""
    with open_fleet(location, rooms.source) as (tree, _):
        fleet = load(tree)
    fleet = with_dev_clusters(fleet, {name: str(Path(name) / "kubeconfig") for name in dev_clusters})
    return fleet, expand(fleet)


def local_clusters(settings: Settings) -> tuple[str, ...]:
    """The local clusters that a running `undrift up` of this home adds to its fleet."""
    if settings.dev_clusters or not settings.up_note.is_file():
        return settings.dev_clusters
    return tuple(json.loads(settings.up_note.read_text()).get("devClusters", ()))


def chosen(meant: Meant, fleet: Fleet, expansion: Expansion) -> list[InstanceKey]:
    """The instances that are meant. Raises NotFound when something that was named is not among them, with near names."""
    if not fleet.entries and not fleet.problems:
        raise NotFound(_no_fleet(meant))
    keys = [key for key in expansion.specs if _is_named(key, meant.application)]
    if meant.application and not keys:
        raise NotFound(_no_instance(meant, expansion))
    if meant.application and (ambiguous := in_several_projects(keys, meant.application)):
        raise NotFound(ambiguous)
    for cluster in meant.clusters:
        if not any(key.cluster == cluster for key in keys):
            known = sorted({key.cluster for key in keys})
            hint = _near(cluster, known) or f"; there are {', '.join(known[:10]) or 'none'}"
            of = f"application {meant.application!r}" if meant.application else "nothing in the fleet"
            runs = "does not run" if meant.application else "runs"
            raise NotFound(f"{of} {runs} on cluster {cluster!r}{hint}")
    return [key for key in keys if not meant.clusters or key.cluster in meant.clusters]


def problems(meant: Meant, fleet: Fleet, expansion: Expansion) -> tuple[Problem, ...]:
    """What is wrong with what is meant. Where instances were named one by one, and are there, nothing is."""
    if not meant.application:
        return expansion.problems
    if "@" in meant.application or meant.clusters:
        with suppress(NotFound):
            chosen(meant, fleet, expansion)
            return ()
    return tuple(one for one in expansion.problems if one.subject is None or _is_about(one.subject, meant.application))


def _is_about(subject: tuple[str, str], name: str) -> bool:
    """Whether a problem is one of the application that was typed, of any project where none was."""
    project, _, application = name.partition("@")[0].rpartition("/")
    kind, full = subject
    of_project, _, of_application = full.rpartition("/")
    return kind == "Application" and of_application == application and project in ("", of_project or DEFAULT_PROJECT)


def _is_named(key: InstanceKey, name: str) -> bool:
    """By `web`, `shop/web`, `web@eu-1` or nothing at all."""
    application, _, cluster = name.partition("@")
    project, _, application = application.rpartition("/")
    return application in ("", key.application) and project in ("", key.project) and cluster in ("", key.cluster)


def _no_fleet(meant: Meant) -> str:
    if meant.is_one_word:
        return f"{meant.application}: no such folder, and no fleet file here; --fleet says where the fleet is"
    return f"{meant.location}: no fleet file; --fleet says where the fleet is, if that is an application's name"


def _no_instance(meant: Meant, expansion: Expansion) -> str:
    name = meant.application
    known = sorted({key.application for key in expansion.specs} | {key.short for key in expansion.specs})
    if meant.is_one_word:
        what = "it is a file" if Path(name).is_file() else "no such folder or application"
        return f"{name}: {what}; the fleet here has no instance of {name!r}{_near(name, known)}"
    return f"the fleet has no instance of {name!r}{_near(name, known)}"


def _near(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=3)
    return f"; did you mean {' or '.join(near)}?" if near else ""
