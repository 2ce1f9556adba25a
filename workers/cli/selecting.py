"""Which instances a command means: an instance, an application's name, `--all`, or labels."""

from __future__ import annotations

import re
from collections.abc import Iterable

from reconciler.errors import UndriftError
from reconciler.model.instance import DEFAULT_PROJECT, InstanceKey
from reconciler.model.spec import InstanceSpec
from workers import asking
from workers.store import Store


class NotFound(UndriftError):
    """What was named is not in the fleet."""

    stage = "usage"


def instances(store: Store, name: str, *, everything: bool = False, selector: str = "") -> list[InstanceKey]:
    """The instances meant; exactly one of the three must be given. Raises NotFound with near names."""
    if not (everything or selector or name):
        raise NotFound("give a NAME or an INSTANCE, --selector LABELS, or --all")
    if everything:
        return sorted(store.specs.instance_keys())
    if selector:
        found = asking.selected(store, selector)
    elif "@" in name:
        found = [one(store, name)]
    else:
        found = _of_one_project(store.specs.instance_keys() | store.specs.left(), name)
    if not found:
        told = _told_of(store, name) or _near(name, store.specs.instance_keys())
        raise NotFound(f"nothing in the fleet is meant by {selector or name!r}{told}")
    return sorted(found)


def one(store: Store, name: str) -> InstanceKey:
    """One instance by its key. An application that runs on one cluster may be named alone."""
    if "@" not in name:
        found = _of_one_project(store.specs.instance_keys() | store.specs.left(), name)
        if len(found) == 1:
            return found[0]
        on = ", ".join(sorted(key.short for key in found))
        if found:
            raise NotFound(f"{name!r} runs on {len(found)} clusters; name one: {on}")
        told = _told_of(store, name) or _near(name, store.specs.instance_keys())
        raise NotFound(f"no application {name!r} runs anywhere{told}")
    key = _parsed(name)
    if any(store.specs.standing([key])) or store.status.has(key):
        return key
    known = store.specs.instance_keys() | store.specs.left() | store.status.known()
    raise NotFound(f"no instance {key.short}{_told_of(store, name) or _near(name, known)}")


def of_trash(store: Store, name: str) -> InstanceKey:
    """One instance, also one that nothing is known of any more, as long as its cluster is in the fleet."""
    try:
        return one(store, name)
    except NotFound:
        if "@" not in name:
            raise
        return InstanceKey.parse(name)


def spec_of(store: Store, key: InstanceKey) -> InstanceSpec:
    """The instance's spec. Raises NotFound when the fleet does not define it any more."""
    spec = store.specs.get(key)
    if spec is None:
        raise NotFound(f"{key.short}: no fleet file defines it any more")
    return spec


def defined(store: Store, name: str) -> list[InstanceKey]:
    """Those of the fleet that a key (`[project/]app@cluster`) or an application (`[project/]app`) means."""
    if "@" in name:
        return [key for key in (_parsed(name),) if store.specs.has(key)]
    return sorted(key for key in store.specs.instance_keys() if _is_named(key, name))


def remembered(store: Store, name: str) -> list[InstanceKey]:
    """Those with a status that it means, whether or not they are of the fleet."""
    if "@" in name:
        return [key for key in (_parsed(name),) if store.status.has(key)]
    return sorted(key for key in store.status.known() if _is_named(key, name))


def _parsed(name: str) -> InstanceKey:
    try:
        return InstanceKey.parse(name)
    except ValueError as error:
        raise NotFound(str(error)) from error


def _of_one_project(keys: Iterable[InstanceKey], name: str) -> list[InstanceKey]:
    """The instances of an application. Raises NotFound when applications of several projects have that name."""
    found = [key for key in keys if _is_named(key, name)]
    if ambiguous := asking.in_several_projects(found, name):
        raise NotFound(ambiguous)
    return found


def _is_named(key: InstanceKey, name: str) -> bool:
    project, _, application = name.rpartition("/")
    return key.application == application and (not project or key.project == project)


def _told_of(store: Store, name: str) -> str:
    """What the fleet's files say of an application that has no instance: its problems, and that it selects nothing."""
    known = store.fleet.told()
    project, _, application = name.partition("@")[0].rpartition("/")
    word = re.compile(rf"(?<![\w-]){re.escape(application)}(?![\w-])")
    told = [one for one in (*known["problems"], *known["notes"]) if application and word.search(one)]
    for full, about in known["rejected"].items():
        of_project, _, of_application = full.rpartition("/")
        if application == of_application and project in ("", of_project or DEFAULT_PROJECT):
            told += [known["problems"][place] for place in about["problems"]]
    return "".join(f"\n  {one}" for one in dict.fromkeys(told))


def _near(name: str, known: Iterable[InstanceKey]) -> str:
    import difflib

    near = difflib.get_close_matches(
        name, sorted({key.short for key in known} | {key.application for key in known}), n=3
    )
    return f"; did you mean {' or '.join(near)}?" if near else ""
