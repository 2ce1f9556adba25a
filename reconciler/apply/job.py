"""One object's apply, with all that its steps need to know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from reconciler.apply import recreate, settle
from reconciler.model.drift import ForeignRule, IgnoredDifference
from reconciler.model.instance import InstanceKey
from reconciler.model.inventory import Inventory
from reconciler.model.live import Resource
from reconciler.model.manifest import Raw
from reconciler.model.plan import Change
from reconciler.objects import applyset, clean
from reconciler.objects.ignored import rules_for, without
from reconciler.ports import ClusterApi


@dataclass(frozen=True, slots=True)
class Job:
    """One object's apply: the change, the body to send, and where it goes."""

    api: ClusterApi
    key: InstanceKey
    change: Change
    resource: Resource
    body: dict[str, Any]
    """The manifest as it is sent, whole; what is left to others is taken out `beside` the live object."""
    adopt: str
    inventory: Inventory
    ignored: tuple[IgnoredDifference, ...] = ()
    """What of this object is left to other writers."""
    foreign: tuple[ForeignRule, ...] = ()
    """What is to become of fields that others have added."""
    formers: tuple[InstanceKey, ...] = ()
    """What the instance was called before: objects of these are its own."""

    @property
    def proof(self) -> str:
        """The fingerprint that the inventory holds for this very manifest; empty when it holds none. Two of our own
        applies within a second may leave the same one, so it proves nothing about another manifest."""
        applied, manifest = self.inventory.applied, self.change.manifest
        known = applied.proofs.get(self.change.key) if applied else None
        if known is None or manifest is None or known.manifest_digest != manifest.digest:
            return ""
        return known.fingerprint

    def look(self) -> Raw | None:
        """The object as it is now; None when there is none."""
        return self.api.get(self.resource, self.change.key.namespace, self.change.key.name)

    def beside(self, live: Raw) -> Job:
        """The job for an object that exists: its body is without what is left to others."""
        if not self.ignored:
            return self
        return replace(self, body=without(self.body, live, self.key.manager, self.ignored))

    def send(self, *, force: bool, create_only: bool = False, dry_run: bool = False, version: str = "") -> Raw:
        """Apply the body; with `version` only to the object as it was at that version, else PreconditionFailed."""
        body = self.body
        if version := recreate.NO_SUCH_VERSION if create_only else version:
            body = {**body, "metadata": {**body["metadata"], "resourceVersion": version}}
        return self.api.apply(self.resource, body, manager=self.key.manager, force=force, dry_run=dry_run)


def make_job(
    api: ClusterApi,
    change: Change,
    *,
    key: InstanceKey,
    inventory: Inventory,
    adopt: str,
    ignored: Sequence[IgnoredDifference] = (),
    foreign: Sequence[ForeignRule] = (),
    formers: Sequence[InstanceKey] = (),
) -> Job:
    """The job of a change that writes a manifest. Raises UnknownKind, and InvalidManifest for what can't be sent."""
    manifest = change.manifest
    assert manifest is not None  # deletions are no jobs
    return Job(
        api=api,
        key=key,
        change=change,
        resource=settle.find_resource(api, manifest),
        body=clean.to_send(manifest, applyset.part_of(key)),
        adopt=adopt,
        inventory=inventory,
        ignored=rules_for(change.key, ignored),
        foreign=tuple(foreign),
        formers=tuple(formers),
    )
