"""What taking an object over would do to it: which values change, what goes, and what Git adds.

An adoption is two writes (`apply.takeover`): what kubectl wrote becomes ours, then ours becomes what Git says. No dry run
does both. So its end is composed: what a dry run of the apply answers, without the fields that go with kubectl's entry;
and a second dry run puts that in the object's place, so that the API server's defaults stand where a value goes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from reconciler.apply.job import Job
from reconciler.errors import ApplyError, FieldConflict, InvalidObject
from reconciler.model.drift import IgnoredDifference
from reconciler.model.manifest import Raw
from reconciler.objects import diff, foreign, ignored, managedfields, mask, pointer
from reconciler.objects.clean import SERVER_METADATA
from reconciler.objects.diff import Difference
from reconciler.objects.keys import LAST_APPLIED, PART_OF

KUBECTL_MANAGERS = frozenset({"kubectl-client-side-apply", "kubectl-create"})
MOST_NAMED = 10
"""Fields named of each kind: other values, what goes, what Git adds."""
MOST_IN_BRIEF = 2
_MOST_SHOWN = 60
_COUNTED = frozenset({".metadata.annotations.deprecated.daemonset.template.generation"})
"""What the API server counts up itself with each change."""
_ITS_OWN = IgnoredDifference(kind="*", json_pointers=(f"/metadata/annotations/{pointer.escaped(LAST_APPLIED)}",))
"""What kubectl alone writes and reads. Taken away it would count as a change of a Deployment (its generation)."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """The differences between what stands and what would stand: `other` values or order that Git declares, what is `going`
    though Git does not speak of it (or gets another value by default), and what Git has `added`."""

    other: tuple[Difference, ...]
    going: tuple[Difference, ...]
    added: tuple[Difference, ...]
    is_question: bool
    """Whether a person has to be asked: a value or order changes, or something that kubectl wrote goes."""
    owners: Mapping[str, str]
    """Whose a field is that Git declares and another manager holds at another value."""

    @property
    def changes(self) -> tuple[Difference, ...]:
        """All of it, in path order."""
        return tuple(sorted((*self.other, *self.going, *self.added), key=lambda one: one.path))

    @property
    def words(self) -> str:
        """All of it in a sentence, the first ten of each kind by name and with their values."""
        parts = {
            "Git wants other values": [_worded(one, self.owners) for one in _ordered(self.other)],
            "taking it over would take away what Git does not declare": [_lost(one) for one in _ordered(self.going)],
            "Git adds": [f"{one.path} ({diff.value(one.after, _MOST_SHOWN)})" for one in _ordered(self._wished)],
        }
        return "; ".join(f"{what}: {_listed(fields, MOST_NAMED)}" for what, fields in parts.items() if fields)

    @property
    def brief(self) -> str:
        """The same in few words, for a message about several objects."""
        parts = {"changes": self.other, "takes away": self.going, "adds": self._wished}
        named = {
            what: _listed([one.path for one in _ordered(found)], MOST_IN_BRIEF)
            for what, found in parts.items()
            if found
        }
        return ", ".join(f"{what} {fields}" for what, fields in named.items())

    @property
    def _wished(self) -> list[Difference]:
        return [one for one in self.added if not is_our_label(one)]


def is_our_label(one: Difference) -> bool:
    """The label that marks an object as ours is no wish of Git's."""
    is_only_one = isinstance(one.after, dict) and set(one.after) == {PART_OF}
    return one.path.endswith(PART_OF) or (one.path == ".metadata.labels" and is_only_one)


def look_ahead(job: Job, live: Raw) -> Outlook:
    """What a takeover would do, by two or three dry runs. Raises what the API server says to the apply; what it says to
    the rest only where no value changes, as then it is asked about anyway."""
    beside, owners = job.beside(live), dict[str, str]()
    try:
        would_be = beside.send(force=job.adopt == "Always", dry_run=True)
    except FieldConflict as conflict:
        owners = {field.replace('"', ""): manager for field, manager in conflict.causes}
        would_be = beside.send(force=True, dry_run=True)
    changed = diff.differences(live, would_be)
    contested = tuple(one for one in changed if None not in (one.before, one.after) and one.path not in _COUNTED)
    try:
        end = end_of(job, live, would_be)
    except ApplyError:
        if not contested:
            raise
        end = _trimmed(job, live, would_be)
    whole = [one for one in diff.differences(live, end) if not _is_nothing(one) and one.path not in _COUNTED]
    added = tuple(one for one in whole if one.before is None and one in changed)
    other = tuple(one for one in whole if one in contested)
    going = tuple(one for one in whole if one not in added and one not in other)
    is_losing = bool(going) and bool(_going_of(job, live, would_be, live))
    return Outlook(other or contested, going, added, bool(contested) or is_losing, owners)


def end_of(job: Job, live: Raw, would_be: Raw) -> Raw:
    """The object as it would stand in the end, with the API server's defaults; without them where it does not take what is
    left for a whole object."""
    if not _going_of(job, live, would_be, would_be):
        return would_be
    end, subject = _trimmed(job, live, would_be), job.change.key
    patch = tuple(_replacing(live, end))
    try:
        return job.api.patch_json(job.resource, subject.namespace, subject.name, patch, dry_run=True) if patch else live
    except InvalidObject:
        return end
    except ApplyError as error:
        error.message = mask.cut(error.message, (*mask.secret_texts(live), *mask.secret_texts(end)))
        error.args = (error.message,)
        raise


def folded(job: Job, live: Raw) -> list[dict[str, Any]] | None:
    """The managedFields with kubectl's entries in ours, save for what is ignored. None when there is nothing to fold."""
    named = {name for rule in job.ignored for name in rule.managed_fields_managers}
    left = partial(ignored.left_of, body=job.body, rules=(*job.ignored, _ITS_OWN))
    return managedfields.absorb(live, KUBECTL_MANAGERS - named, job.key.manager, left)


def _going_of(job: Job, live: Raw, would_be: Raw, body: Raw) -> Sequence[Mapping[str, Any]]:
    """The patch that takes out of a body what the object has by kubectl, and Git does not declare."""
    manager = job.key.manager
    entries = folded(job, live) or managedfields.entries(live)
    ours = next((one for one in entries if managedfields.is_apply_of(one, manager)), {})
    kept = [managedfields.apply_entry(would_be, manager) or {}, *(one for one in entries if one is not ours)]
    kept_paths = frozenset().union(*(managedfields.paths(one.get("fieldsV1") or {}) for one in kept))
    return foreign.removal_patch(ours.get("fieldsV1") or {}, body, kept_paths)


def _trimmed(job: Job, live: Raw, would_be: Raw) -> Raw:
    body = would_be
    for one in _going_of(job, live, would_be, would_be):
        body = pointer.without(body, one["path"])
    return body


def _replacing(live: Raw, end: Raw) -> Iterator[Mapping[str, Any]]:
    """The patch that makes one state of an object of another: its fields, and what people write of its metadata."""
    yield from _fields("", live, end, frozenset({"apiVersion", "kind", "metadata", "status"}))
    yield from _fields("/metadata", live["metadata"], end["metadata"], SERVER_METADATA)


def _fields(at: str, before: Raw, after: Raw, spared: frozenset[str]) -> Iterator[Mapping[str, Any]]:
    for name in sorted((before.keys() | after.keys()) - spared):
        path = f"{at}/{pointer.escaped(name)}"
        if name not in after:
            yield {"op": "remove", "path": path}
        elif before.get(name) != after[name]:
            yield {"op": "add", "path": path, "value": after[name]}


def _is_nothing(one: Difference) -> bool:
    """Whether a map or list that holds nothing comes or goes. What is false, 0 or an empty text is a value."""
    return all(side is None or side in ({}, []) for side in (one.before, one.after))


def _worded(one: Difference, owners: Mapping[str, str]) -> str:
    """A difference with both values, and whose the field is where that is known."""
    path = one.path.replace('"', "")
    owner = next(
        (who for field, who in owners.items() if path == field or path.startswith((f"{field}.", f"{field}["))), ""
    )
    after, before = (diff.value(side, _MOST_SHOWN) for side in (one.after, one.before))
    return f"{one.path} ({after} where {before} stands{f', by {owner}' if owner else ''})"


def _lost(one: Difference) -> str:
    after = "" if one.after is None else f" would be {diff.value(one.after, _MOST_SHOWN)}"
    return f"{one.path} ({diff.value(one.before, _MOST_SHOWN)}{after})"


def _ordered(found: Sequence[Difference]) -> list[Difference]:
    """What runs comes first, so that no list that is cut short leaves out a container."""
    return sorted(found, key=lambda one: "ontainers[" not in one.path)


def _listed(words: Sequence[str], most: int) -> str:
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more
