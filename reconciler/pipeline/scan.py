"""Proves the instances of one cluster in sync, without re-applying, dry-running or fetching anything.

One list of the cluster's inventories and one list per kind give, for every applied object, the fingerprint as it is now.
Equal to the recorded one: nobody changed a field of ours. Different, or not there: the instance is due. An object that is
not in the list is looked up by name, since its label may have been removed. Kinds to which existing is not all there is are
listed as whole objects, for how they do. What the last syncs have not flushed into their inventories is written on the way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from reconciler import health
from reconciler.apply import trash
from reconciler.cluster import Survey
from reconciler.errors import FencedOut, Frozen, PreconditionFailed
from reconciler.model.changeset import Drift
from reconciler.model.drift import DriftPolicy
from reconciler.model.health import Health, ObjectHealth
from reconciler.model.instance import InstanceKey
from reconciler.model.inventory import Applied, Inventory, Proof
from reconciler.model.manifest import ObjectKey, Raw
from reconciler.model.record import Memory
from reconciler.model.spec import ClusterTarget
from reconciler.objects import foreign, managedfields
from reconciler.objects.foreign import ForeignField
from reconciler.objects.kinds import DEFINITION
from reconciler.pipeline.rooms import Rooms
from reconciler.pipeline.sight import Proven, Sight
from reconciler.ports import ClusterApi, Guard

DELETED = "(deleted)"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a scan found of one instance. Proven when there is proof for every member and nothing drifted or is unseen;
    `known` is False when its inventory holds no complete proof, so that only a sync can tell."""

    drift: tuple[Drift, ...] = ()
    known: bool = True
    unseen: bool = False
    is_unreadable: bool = False
    """Its inventory is there, and damaged or another installation's: its own sync says so."""
    foreign: tuple[tuple[ObjectKey, ForeignField], ...] = ()
    """What others have added to its objects, as far as its policy wants to know."""
    applied: Applied | None = None
    health: Mapping[ObjectKey, ObjectHealth] = field(default_factory=dict)
    """How its objects do; those are left out of which this look could not tell."""
    unfinished: bool = False
    """A sync of ours began and left no proof: what differs by it is no drift."""

    @property
    def is_proven(self) -> bool:
        return self.known and not self.drift and not self.unseen


@dataclass(frozen=True, slots=True)
class ScanReport:
    """One scan of one cluster. `began_at` is before its first list: an instance that was synced later, or that holds a
    lease, is not judged by it. `flushed` are the instances whose last results now stand in their inventory, `same` those of
    which there is as little to tell as at the scan before; `proven` is for the next one."""

    cluster: str
    began_at: datetime
    findings: Mapping[InstanceKey, Finding] = field(default_factory=dict)
    same: frozenset[InstanceKey] = frozenset()
    proven: Proven = field(default_factory=Proven)
    flushed: frozenset[InstanceKey] = frozenset()
    answers: Mapping[str, int] = field(default_factory=dict)
    """Requests to the API server by the status of the answer."""
    capabilities: Mapping[str, str] = field(default_factory=dict)
    """What a render may ask of the cluster, as a closure keeps it; empty while a part of its discovery does not answer."""

    @property
    def requests(self) -> int:
        return sum(self.answers.values())


def judge(
    sight: Sight,
    known: Mapping[InstanceKey, Memory],
    rooms: Rooms,
    *,
    policies: Mapping[InstanceKey, DriftPolicy] | None = None,
) -> ScanReport:
    """Compare the inventories of a cluster with what was seen of it. `known` and `policies` are those of the instances that
    are not the same as before; `policies` say which fields of others are worth telling.

    Raises the ClusterErrors: then nothing is concluded about any instance.
    """
    mine = policies or {}
    newest = {key: _newest(inventory, known.get(key)) for key, inventory in sight.inventories.items()}
    findings = {key: _judge(key, inventory, sight, mine.get(key)) for key, inventory in newest.items()}
    quiet = {
        key
        for key, finding in findings.items()
        if key in mine and newest[key] is sight.inventories[key] and _is_quiet(finding, sight.survey)
    }
    # Of another installation's there is nothing to say, unless it stands where one of ours should.
    findings |= {key: Finding(known=False, is_unreadable=True) for key in sight.unreadable if key in mine}
    flushed = {
        key for key, inventory in newest.items() if _flush(sight.api, key, sight.inventories[key], inventory, rooms)
    }
    marks = {key: sight.marks[key] for key in sight.same | quiet if key in sight.marks}
    return ScanReport(
        cluster=sight.target.name,
        began_at=sight.began_at,
        findings=findings,
        same=sight.same,
        proven=Proven() if sight.survey.unseen else Proven(marks, sight.places),
        flushed=frozenset(flushed),
        answers=sight.api.codes,
        capabilities=sight.capabilities,
    )


def _is_quiet(finding: Finding, survey: Survey) -> bool:
    """Whether there is nothing to tell but that it stands as it should; whoever was looked up by name is not in the list, by
    which the next look compares."""
    if not finding.is_proven or finding.foreign or finding.unfinished or finding.applied is None:
        return False
    well = all(one.health is Health.HEALTHY for one in finding.health.values())
    return well and finding.health.keys() == finding.applied.proofs.keys() <= survey.live.keys()


def empty_old_trash(target: ClusterTarget, guard: Guard, rooms: Rooms) -> int:
    """Delete what has lain in a cluster's trash for more than a week; how much that was. For once a day."""
    api = rooms.clusters.api(target, guard, agent=f"scan {target.name} fence={guard.fence}")
    return trash.sweep(api, api.server_time() or rooms.clock.now())


def _newest(inventory: Inventory, memory: Memory | None) -> Inventory:
    return inventory.flushed(memory.unflushed, memory.unflushed_entry) if memory else inventory


def _proofs(inventory: Inventory) -> Mapping[ObjectKey, Proof]:
    return inventory.applied.proofs if inventory.applied else {}


def _judge(key: InstanceKey, inventory: Inventory, sight: Sight, policy: DriftPolicy | None) -> Finding:
    api, survey, applied = sight.api, sight.survey, inventory.applied
    if applied is None:
        return Finding(known=False)
    proofs = _proofs(inventory)
    differs = {member: found for member, proof in proofs.items() if (found := _drift(api, key, member, proof, survey))}
    own = {member for member in differs if inventory.is_unfinished and _may_be_own(key, member, survey)}
    return Finding(
        drift=tuple(found for member, found in differs.items() if member not in own),
        unfinished=inventory.is_unfinished,
        health=dict(_healths(api, proofs, differs, sight)),
        foreign=tuple(_foreign(key, proofs, survey, policy)) if policy else (),
        known=applied.complete and not inventory.is_unfinished,
        unseen=any(member.group_kind in survey.unseen for member in proofs),
        applied=applied,
    )


def _drift(api: ClusterApi, key: InstanceKey, member: ObjectKey, proof: Proof, survey: Survey) -> Drift | None:
    """How a member differs from its proof; None when it does not, or when its kind could not be looked at."""
    if member.group_kind in survey.unseen:
        return None
    live = survey.live.get(member) or _by_name(api, member)
    if live is None:
        return Drift(member, DELETED, "")
    if managedfields.fingerprint(live, key.manager) == proof.fingerprint:
        return None
    return Drift(member, "", managedfields.last_writer(live, key.manager))


def _may_be_own(key: InstanceKey, member: ObjectKey, survey: Survey) -> bool:
    """Whether a lost sync of ours may have written or pruned an object that differs from its proof."""
    live = survey.live.get(member)
    return live is None or managedfields.wrote_last(live, key.manager)


def _healths(
    api: ClusterApi, members: Iterable[ObjectKey], differs: Mapping[ObjectKey, Drift], sight: Sight
) -> Iterator[tuple[ObjectKey, ObjectHealth]]:
    for member in members:
        live = sight.survey.live.get(member)
        if live is None:
            if member in differs and differs[member].field == DELETED:
                yield member, health.assess(None, sight.survey.at)
        elif member in sight.healths:
            yield member, sight.healths[member]
        elif member.group_kind != DEFINITION:
            yield member, health.assess(live, sight.survey.at)
        elif _is_served(api, member.name):
            yield member, ObjectHealth(Health.HEALTHY)


def _is_served(api: ClusterApi, definition: str) -> bool:
    """A CRD is named after what it defines."""
    plural, _, group = definition.partition(".")
    resources = (one for versions in api.discovery().resources.values() for one in versions)
    return any((one.plural, one.group) == (plural, group) for one in resources)


def _foreign(
    key: InstanceKey, members: Iterable[ObjectKey], survey: Survey, policy: DriftPolicy
) -> Iterator[tuple[ObjectKey, ForeignField]]:
    for member in members:
        if live := survey.live.get(member):
            yield from ((member, one) for one in foreign.found(live, key.manager, policy.foreign_fields))


def _by_name(api: ClusterApi, member: ObjectKey) -> Raw | None:
    resource = api.discovery().find(member.group_kind)
    if resource is None:
        return None
    return api.get(resource, member.namespace, member.name, metadata_only=True)


def _flush(api: ClusterApi, key: InstanceKey, stored: Inventory, newest: Inventory, rooms: Rooms) -> bool:
    """Write what the last sync left in memory. A sync that began meanwhile writes it itself."""
    if newest is stored:
        return False
    try:
        rooms.inventories.flush(api, key, newest)
    except (PreconditionFailed, FencedOut, Frozen):
        return False
    return True
