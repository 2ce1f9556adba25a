"""An API server in memory, for property tests of what deletes: thousands of runs, with a failure at any request.

It knows what those tests need: identity and versions, server-side apply with owners, conflicts and force, preconditions,
finalizers, label selectors, namespaces. It refuses to know schemas, admission, defaulting and controllers; for those there
is the real one. Both pass one contract suite (`tests/contracts/test_cluster_api.py`).
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from reconciler.clock import ManualClock
from reconciler.errors import FieldConflict, ImmutableField, NamespaceMissing, PreconditionFailed, UndriftError
from reconciler.model.live import Discovery, Resource
from reconciler.model.manifest import GroupKind, ObjectKey, Raw
from reconciler.objects.kinds import NAMESPACES, SECRETS
from reconciler.testing import fields

KINDS = (
    NAMESPACES,
    Resource("", "v1", "ConfigMap", "configmaps", True),
    SECRETS,
    Resource("", "v1", "Service", "services", True),
    Resource("apps", "v1", "Deployment", "deployments", True),
    Resource("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", False),
)

SYSTEM = ("uid", "creationTimestamp", "managedFields")
Owner = tuple[str, str]
Owners = Mapping[Owner, frozenset[fields.Path]]
Fault = Callable[[int, str, ObjectKey | None], UndriftError | None]
"""Asked with (number of the request, verb, object or None for a list); an error is raised in place of the answer."""


class FakeCluster:
    """The state of one cluster. `deleted` lists what was deleted, with the object as it was."""

    def __init__(self, *namespaces: str, clock: ManualClock | None = None, kinds: Sequence[Resource] = KINDS) -> None:
        self.clock = clock or ManualClock()
        self.objects: dict[ObjectKey, Raw] = {}
        self.deleted: list[tuple[ObjectKey, Raw]] = []
        self.requests = 0
        self.uid = "00000000-0000-4000-8000-000000000001"
        self.lock = threading.Lock()
        self.before: Fault | None = None
        """A fault before the request takes effect."""
        self.after: Fault | None = None
        """A fault after it took effect: the answer is lost."""
        self.known_namespaces: set[str] = set()
        self.stale_groups: frozenset[str] = frozenset()
        self._kinds = kinds
        self._versions = itertools.count(100)
        self._uids = itertools.count(1)
        for name in ("kube-system", *namespaces):
            self.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    def discovery(self) -> Discovery:
        found: dict[GroupKind, tuple[Resource, ...]] = {}
        for kind in self._kinds:
            if kind.group not in self.stale_groups:
                found[kind.group_kind] = (*found.get(kind.group_kind, ()), kind)
        return Discovery(found, self.stale_groups, "v1.37.0")

    def put(self, body: Raw, *, manager: str = "kubectl-edit") -> Raw:
        """Write an object as any other writer would: it owns the fields it changes, and takes them from others."""
        key, wanted = ObjectKey.of(body), fields.owned_paths(body)
        live = self.objects.get(key)
        changed = self._differing(live, body, wanted)
        owners = {who: paths - changed for who, paths in _owners(live).items()}
        me = (manager, "Update")
        owners[me] = owners.get(me, frozenset()) | changed
        return self._store(key, self._merged(live, body, changed), owners, writer=me)

    def apply(self, body: Raw, *, manager: str, force: bool) -> Raw:
        """Server-side apply. As on the real server, fields are compared before versions."""
        key, wanted, me = ObjectKey.of(body), fields.owned_paths(body), (manager, "Apply")
        self._require_namespace(key)
        live = self.objects.get(key)
        others = {who: paths for who, paths in _owners(live).items() if who != me}
        taken = self._differing(live, body, wanted)
        if not force:
            _require_no_conflict(key, taken, others)
        self._require_version(key, live, body)
        _require_mutable(key, live, taken)
        others = {who: paths - taken for who, paths in others.items()}
        merged = self._merged(live, body, taken)
        for path in _owners(live).get(me, frozenset()) - wanted - frozenset().union(*others.values()):
            merged = fields.with_value(merged, path, None)
        return self._store(key, merged, {**others, me: wanted}, writer=me)

    def create(self, body: Raw) -> Raw:
        """POST."""
        key = ObjectKey.of(body)
        self._require_namespace(key)
        if key in self.objects:
            raise PreconditionFailed(f"{key} already exists", subject=key)
        return self.put(body, manager="undrift")

    def replace(self, body: Raw) -> Raw:
        """PUT with the body's resourceVersion as precondition."""
        key = ObjectKey.of(body)
        live = self.objects.get(key)
        if live is None:
            raise PreconditionFailed(f"{key} is gone", subject=key)
        self._require_version(key, live, body)
        wanted, me = fields.owned_paths(body), ("undrift", "Update")
        fresh = self._merged(None, body, wanted)
        system = {name: live["metadata"][name] for name in SYSTEM if name in live["metadata"]}
        return self._store(key, {**fresh, "metadata": {**fresh["metadata"], **system}}, {me: wanted}, writer=me)

    def json_patch(self, key: ObjectKey, patch: Sequence[Mapping[str, Any]]) -> Raw:
        """`replace` and `remove` on paths of maps. A replaced resourceVersion is a precondition, as on the real server."""
        live = self.objects.get(key)
        if live is None:
            raise PreconditionFailed(f"{key} is gone", subject=key)
        body = dict(live)
        for one in patch:
            path = tuple(part.replace("~1", "/") for part in one["path"].strip("/").split("/"))
            if path == ("metadata", "resourceVersion"):
                self._require_version(key, live, {"metadata": {"resourceVersion": one["value"]}})
            body = fields.with_value(body, path, one.get("value"))
        return self._versioned(key, body)

    def delete(self, key: ObjectKey, *, uid: str = "", resource_version: str = "") -> Raw | None:
        """Delete an object, or mark it when finalizers hold it. A namespace goes alone: there are no controllers here."""
        live = self.objects.get(key)
        if live is None:
            return None
        if uid and uid != live["metadata"]["uid"]:
            raise PreconditionFailed(f"{key}: another uid", subject=key)
        self._require_version(key, live, {"metadata": {"resourceVersion": resource_version}})
        self.deleted.append((key, live))
        if not live["metadata"].get("finalizers"):
            return self.objects.pop(key)
        return self._versioned(key, fields.with_value(live, ("metadata", "deletionTimestamp"), self._now()))

    def _require_namespace(self, key: ObjectKey) -> None:
        if key.namespace and ObjectKey("", "Namespace", "", key.namespace) not in self.objects:
            raise NamespaceMissing(f"{key}: its namespace does not exist", subject=key)

    def _require_version(self, key: ObjectKey, live: Raw | None, body: Raw) -> None:
        version = body["metadata"].get("resourceVersion")
        if live is not None and version and version != live["metadata"]["resourceVersion"]:
            raise PreconditionFailed(f"{key}: the object has been modified", subject=key)

    def _differing(self, live: Raw | None, body: Raw, paths: frozenset[fields.Path]) -> frozenset[fields.Path]:
        if live is None:
            return paths
        return frozenset(path for path in paths if fields.value_at(live, path) != fields.value_at(body, path))

    def _merged(self, live: Raw | None, body: Raw, paths: frozenset[fields.Path]) -> dict[str, Any]:
        merged = dict(live or self._fresh(body))
        for path in paths:
            merged = fields.with_value(merged, path, fields.value_at(body, path))
        return merged

    def _fresh(self, body: Raw) -> dict[str, Any]:
        key = ObjectKey.of(body)
        meta = {"name": key.name, "uid": f"uid-{next(self._uids)}", "creationTimestamp": self._now()}
        if key.namespace:
            meta["namespace"] = key.namespace
        return {"apiVersion": body["apiVersion"], "kind": body["kind"], "metadata": meta}

    def _store(self, key: ObjectKey, body: dict[str, Any], owners: Owners, *, writer: Owner) -> Raw:
        """Keep an object. What changes nothing is not written: version and times stay, as on the real server."""
        live = self.objects.get(key)
        owners = {who: paths for who, paths in owners.items() if paths}
        if live is not None and body == live and owners == _owners(live):
            return live
        times = {_owner(entry): entry["time"] for entry in (live or body)["metadata"].get("managedFields") or ()}
        entries = [
            {
                "manager": manager,
                "operation": operation,
                "apiVersion": body["apiVersion"],
                "time": self._now() if (manager, operation) == writer else times.get((manager, operation), self._now()),
                "fieldsType": "FieldsV1",
                "fieldsV1": fields.to_fields_v1(paths),
            }
            for (manager, operation), paths in sorted(owners.items())
        ]
        return self._versioned(key, fields.with_value(body, ("metadata", "managedFields"), entries))

    def _versioned(self, key: ObjectKey, body: Raw) -> Raw:
        self.objects[key] = fields.with_value(body, ("metadata", "resourceVersion"), str(next(self._versions)))
        return self.objects[key]

    def _now(self) -> str:
        return self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")


def _owner(entry: Mapping[str, Any]) -> Owner:
    return str(entry["manager"]), str(entry["operation"])


def _owners(live: Raw | None) -> Owners:
    entries = ((live or {}).get("metadata") or {}).get("managedFields") or ()
    return {_owner(entry): fields.from_fields_v1(entry["fieldsV1"]) for entry in entries}


def _require_mutable(key: ObjectKey, live: Raw | None, taken: frozenset[fields.Path]) -> None:
    """The one immutability known here: the data of a ConfigMap or Secret that says so."""
    if live is not None and live.get("immutable") and any(path[0] == "data" for path in taken):
        raise ImmutableField(f"{key}: data: Forbidden: field is immutable when `immutable` is set", subject=key)


def _require_no_conflict(key: ObjectKey, taken: frozenset[fields.Path], others: Owners) -> None:
    causes = tuple(
        (fields.as_text(path), manager)
        for path in sorted(taken)
        for (manager, _), paths in sorted(others.items())
        if path in paths
    )
    if causes:
        raise FieldConflict(f"{key}: {causes[0][0]} belongs to {causes[0][1]}", causes=causes, subject=key)
