"""Keeps each instance's inventory in its own cluster, as Secrets in `undrift-system`.

The parent Secret `undrift.<project>.<application>` is an ApplySet parent, so that kubectl and other tools can see what
belongs together. A document too large for one Secret continues in `<parent>.<n>.<digest>`: the parts are written before
the parent that names them, so a parent is always whole, and parts that no parent names are swept after it. Every write
of the parent carries the resourceVersion that was read: two runs can't both win.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from reconciler.apply import document, settle
from reconciler.clock import Clock
from reconciler.errors import (
    FencedOut,
    InvalidObject,
    InventoryError,
    InventoryNotRead,
    NamespaceMissing,
    PreconditionFailed,
    Unreachable,
)
from reconciler.model.instance import InstanceKey
from reconciler.model.inventory import Intent, Inventory, Member
from reconciler.model.manifest import GroupKind, ObjectKey, Raw
from reconciler.objects import applyset, keys, managedfields
from reconciler.objects.keys import SYSTEM_NAMESPACE
from reconciler.objects.kinds import SECRETS, controller, created
from reconciler.ports import ClusterApi

TOOLING = "undrift/0.1.0"
PART_SIZE = 700 * 1024
"""Bytes of one Secret's value before base64; the API server takes 1 MiB of data a Secret."""
SWEEP_AGE_S = 600.0
PART_LABEL = "undrift.dev/inventory-part-of"


class Inventories:
    """The inventories of one installation. `installation` is the UUID that marks them as ours."""

    def __init__(self, installation: str, clock: Clock, *, part_size: int = PART_SIZE) -> None:
        self.installation = installation
        self._clock = clock
        self._part_size = part_size

    def read(self, api: ClusterApi, key: InstanceKey) -> Inventory:
        """The inventory, an empty one when there is none. Raises InventoryError for another's, newer or damaged one."""
        parent = api.get(SECRETS, SYSTEM_NAMESPACE, key.inventory_name)
        if parent is None:
            return Inventory(self.installation)
        return self._decoded(api, key, parent)

    def presumed(self) -> Inventory:
        """The empty inventory of an instance that is taken to be new, without asking."""
        return Inventory(self.installation, is_presumed=True)

    def parents(self, api: ClusterApi) -> Mapping[InstanceKey, Raw]:
        """The parent of every instance's inventory on a cluster, whosever it is, by one list."""
        listing = api.list(SECRETS, namespace=SYSTEM_NAMESPACE, selector=keys.APPLYSET_ID)
        named = ((_key_of(parent, api.name), parent) for parent in listing.items)
        return {
            key: parent for key, parent in named if key is not None and key.inventory_name == parent["metadata"]["name"]
        }

    def read_all(self, api: ClusterApi) -> tuple[Mapping[InstanceKey, Inventory], Mapping[InstanceKey, InventoryError]]:
        """Every inventory on a cluster: those of ours that can be read, and why the others can't be."""
        return self.decoded_all(api, self.parents(api))

    def decoded_all(
        self, api: ClusterApi, parents: Mapping[InstanceKey, Raw]
    ) -> tuple[Mapping[InstanceKey, Inventory], Mapping[InstanceKey, InventoryError]]:
        """The inventories of some parents: those of ours that can be read, and why the others can't be."""
        found: dict[InstanceKey, Inventory] = {}
        unreadable: dict[InstanceKey, InventoryError] = {}
        for key, parent in parents.items():
            try:
                found[key] = self._decoded(api, key, parent)
            except InventoryError as error:
                unreadable[key] = error
        return found, unreadable

    def foreign(self, api: ClusterApi) -> Mapping[str, str]:
        """The inventories of other installations on a cluster: the installation's UUID by the parent's name."""
        listing = api.list(SECRETS, namespace=SYSTEM_NAMESPACE, selector=keys.APPLYSET_ID, metadata_only=True)
        owners = {
            str(one["metadata"]["name"]): str((one["metadata"].get("annotations") or {}).get(keys.INSTALLATION, ""))
            for one in listing.items
            if _key_of(one, api.name) is not None
        }
        return {name: owner for name, owner in sorted(owners.items()) if owner != self.installation}

    def take_over(self, api: ClusterApi, name: str, owner: str) -> bool:
        """Make another installation's inventory ours. False when it is not that one's any more."""
        place = "/metadata/annotations/" + keys.INSTALLATION.replace("~", "~0").replace("/", "~1")
        patch = [
            {"op": "test", "path": place, "value": owner},
            {"op": "replace", "path": place, "value": self.installation},
        ]
        try:
            api.patch_json(SECRETS, SYSTEM_NAMESPACE, name, patch)
        except (PreconditionFailed, InvalidObject):
            return False
        return True

    def begin(
        self,
        api: ClusterApi,
        key: InstanceKey,
        inventory: Inventory,
        intent: Intent,
        new_members: Mapping[ObjectKey, Member],
    ) -> Inventory:
        """Write our fence, what we mean to do and the union of members, before the first write to any of them.

        Raises FencedOut when a fence not below ours stands there already, or another run wrote since we read, and
        InventoryNotRead when there is one that was presumed not to be.
        """
        if inventory.fence >= intent.fence:
            raise FencedOut(f"{key.short}: fence {inventory.fence} stands in the inventory", fence=inventory.fence)
        begun = replace(
            inventory, intent=intent, members={**inventory.members, **new_members}, rebuilt=False, is_presumed=False
        )
        try:
            return self._write(api, key, begun)
        except PreconditionFailed as error:
            if inventory.is_presumed:
                raise InventoryNotRead(f"{key.short}: it has an inventory already") from error
            return self._begin_after_flush(api, key, begun, inventory.fence, error)

    def _begin_after_flush(
        self, api: ClusterApi, key: InstanceKey, begun: Inventory, fence: int, error: PreconditionFailed
    ) -> Inventory:
        """Write it again when it was a scan of ours that wrote meanwhile: it flushes the last sync's result, which ours
        holds already, and leaves the fence as it is."""
        meta = _meta(api, key)
        found, owner = _fence(key, meta), (meta.get("annotations") or {}).get(keys.INSTALLATION)
        if found != fence or owner != self.installation:
            raise FencedOut(f"{key.short}: another run wrote the inventory", fence=found) from error
        try:
            return self._write(api, key, replace(begun, resource_version=str(meta["resourceVersion"])))
        except PreconditionFailed as again:
            raise FencedOut(f"{key.short}: another run wrote the inventory", fence=read_fence(api, key)) from again

    def flush(self, api: ClusterApi, key: InstanceKey, inventory: Inventory) -> Inventory:
        """Write results that a sync left in memory. Raises PreconditionFailed when another run wrote meanwhile."""
        return self._write(api, key, inventory)

    def rebuild(self, api: ClusterApi, key: InstanceKey, kinds: Collection[GroupKind]) -> Inventory:
        """An inventory made of live objects that carry our label by our own apply, for a parent that was deleted.

        Which of them existed before us, nobody knows any more: all count as adopted, and none is ever pruned. Raises
        Unreachable when a kind can't be looked at now, since its members would be forgotten.
        """
        selector = f"{keys.PART_OF}={applyset.part_of(key)}"
        members: dict[ObjectKey, Member] = {}
        for kind in sorted(kinds):
            discovery = api.discovery()
            resource = discovery.find(kind)
            if kind.group in discovery.stale_groups:
                raise Unreachable(
                    f"cluster {api.name}: group {kind.group} can't be looked at now, and its objects may be ours"
                )
            if resource is None:
                continue
            for live in api.list(resource, selector=selector, metadata_only=True).items:
                if managedfields.owns_label(live, key.manager, keys.PART_OF) and not controller(live):
                    members[ObjectKey.of(live)] = Member(created(live), adopted=True)
        return Inventory(self.installation, members=members, rebuilt=True)

    def delete(self, api: ClusterApi, key: InstanceKey, inventory: Inventory) -> None:
        """Forget an instance whose members are all gone. Raises PreconditionFailed when another run wrote meanwhile."""
        parent = api.get(SECRETS, SYSTEM_NAMESPACE, key.inventory_name, metadata_only=True)
        if parent is None:
            return
        uid = str(parent["metadata"]["uid"])
        api.delete(SECRETS, SYSTEM_NAMESPACE, key.inventory_name, uid=uid, resource_version=inventory.resource_version)
        self._sweep(api, key, keep=frozenset(), older_s=0.0)

    def _decoded(self, api: ClusterApi, key: InstanceKey, parent: Raw) -> Inventory:
        meta, subject = parent["metadata"], f"inventory {key.inventory_name} on cluster {api.name}"
        owner = (meta.get("annotations") or {}).get(keys.INSTALLATION, "")
        if owner != self.installation:
            raise InventoryError(
                f"{subject} belongs to another installation ({owner or 'unnamed'}); it is read-only to us, which is "
                f"{self.installation}. If that one is gone for good: `undrift cluster takeover {api.name}`; if it is meant "
                "to be ours, set UNDRIFT_INSTALLATION to its UUID",
                subject=subject,
            )
        of = _key_of(parent, key.cluster)
        if of is not None and of != key:  # a.b/c and a/b.c make one name
            raise InventoryError(
                f"{subject} is that of {of.short}, whose name makes the same Secret's name; rename one of the two",
                subject=subject,
            )
        data = (parent.get("data") or {}).get("inventory")
        if data is None:
            raise InventoryError(f"{subject}: it holds no inventory; nothing was changed", subject=subject)
        first = document.from_data(data, subject)
        parts = (meta.get("annotations") or {}).get(keys.PARTS, "")
        rest = b"".join(self._part(api, name, subject) for name in parts.split(",") if name)
        found = document.decode(first + rest, resource_version=str(meta["resourceVersion"]), subject=subject)
        # Whose it is stands in the annotation, which a takeover changes; the document still names who wrote it last.
        return replace(found, installation=self.installation)

    def _part(self, api: ClusterApi, name: str, subject: str) -> bytes:
        part = api.get(SECRETS, SYSTEM_NAMESPACE, name)
        if part is None:
            raise InventoryError(f"{subject}: its part {name} is missing; nothing was changed", subject=subject)
        return document.from_data((part.get("data") or {}).get("part", ""), subject)

    def _write(self, api: ClusterApi, key: InstanceKey, inventory: Inventory) -> Inventory:
        try:
            return self._write_into(api, key, inventory)
        except NamespaceMissing:  # not asked before: that would cost a request, and rights on namespaces
            settle.make_namespace(api, SYSTEM_NAMESPACE)
            return self._write_into(api, key, inventory)

    def _write_into(self, api: ClusterApi, key: InstanceKey, inventory: Inventory) -> Inventory:
        first, *rest = _pieces(document.encode(inventory), self._part_size)
        parts = [self._write_part(api, key, number, piece) for number, piece in enumerate(rest, start=1)]
        body = _parent(key, inventory, first, parts)
        stored = api.replace(SECRETS, body) if inventory.exists else api.create(SECRETS, body)
        if parts or (inventory.exists and _had_parts(inventory)):
            self._sweep(api, key, keep=frozenset(parts))
        return replace(inventory, resource_version=str(stored["metadata"]["resourceVersion"]))

    def _write_part(self, api: ClusterApi, key: InstanceKey, number: int, piece: bytes) -> str:
        name = f"{key.inventory_name}.{number}.{hashlib.sha256(piece).hexdigest()[:12]}"
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": name,
                "namespace": SYSTEM_NAMESPACE,
                "labels": {PART_LABEL: applyset.part_of(key)},
            },
            "data": {"part": document.to_data(piece)},
        }
        # The name holds the content's digest, so a part that is there already is this one.
        with contextlib.suppress(PreconditionFailed):
            api.create(SECRETS, body)
        return name

    def _sweep(self, api: ClusterApi, key: InstanceKey, *, keep: Collection[str], older_s: float = SWEEP_AGE_S) -> None:
        """Delete parts that no parent names. Young ones stay: another run may be about to write the parent for them."""
        selector = f"{PART_LABEL}={applyset.part_of(key)}"
        parts = api.list(SECRETS, namespace=SYSTEM_NAMESPACE, selector=selector, metadata_only=True).items
        now = api.server_time() or self._clock.now()
        for part in parts:
            name = str(part["metadata"]["name"])
            if name not in keep and (now - created(part)).total_seconds() >= older_s:
                api.delete(SECRETS, SYSTEM_NAMESPACE, name, uid=str(part["metadata"]["uid"]))


def read_fence(api: ClusterApi, key: InstanceKey) -> int:
    """The fence that stands in the parent now; 0 when there is no parent. One request, metadata only."""
    return _fence(key, _meta(api, key))


def _meta(api: ClusterApi, key: InstanceKey) -> Mapping[str, Any]:
    parent = api.get(SECRETS, SYSTEM_NAMESPACE, key.inventory_name, metadata_only=True)
    return parent["metadata"] if parent else {}


def _fence(key: InstanceKey, meta: Mapping[str, Any]) -> int:
    text = str((meta.get("annotations") or {}).get(keys.FENCE) or 0)
    if not text.isdecimal():
        raise InventoryError(f"inventory {key.inventory_name}: its fence {text!r} is no number; nothing was changed")
    return int(text)


def _pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def _had_parts(inventory: Inventory) -> bool:
    # Below this many members a document has always fitted into one Secret, so there is nothing to sweep.
    return len(inventory.members) > 2000


def _parent(key: InstanceKey, inventory: Inventory, first: bytes, parts: list[str]) -> dict[str, Any]:
    kinds = sorted({str(member.group_kind) for member in inventory.members})
    namespaces = sorted({member.namespace for member in inventory.members} - {"", SYSTEM_NAMESPACE})
    annotations = {
        keys.TOOLING: TOOLING,
        keys.CONTAINS_GROUP_KINDS: ",".join(kinds),
        keys.ADDITIONAL_NAMESPACES: ",".join(namespaces),
        keys.INSTALLATION: inventory.installation,
        keys.INSTANCE: str(key),
        keys.FENCE: str(inventory.fence),
    }
    if parts:
        annotations[keys.PARTS] = ",".join(parts)
    meta: dict[str, Any] = {
        "name": key.inventory_name,
        "namespace": SYSTEM_NAMESPACE,
        "labels": {keys.APPLYSET_ID: applyset.part_of(key)},
        "annotations": annotations,
    }
    if inventory.exists:
        meta["resourceVersion"] = inventory.resource_version
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "undrift.dev/inventory",
        "metadata": meta,
        "data": {"inventory": document.to_data(first)},
    }


def _key_of(parent: Raw, cluster: str) -> InstanceKey | None:
    """The instance an inventory belongs to; None for a parent of another tool. The cluster is the one asked, whatever
    name was written there: a cluster may be renamed."""
    text = (parent["metadata"].get("annotations") or {}).get(keys.INSTANCE)
    if not text:
        return None
    try:
        return replace(InstanceKey.parse(text), cluster=cluster)
    except ValueError:
        return None
