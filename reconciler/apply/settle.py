"""What an apply needs to stand first: the kind served, its definition established, the namespace there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from reconciler.clock import looks
from reconciler.errors import PreconditionFailed, UnknownKind
from reconciler.model.changeset import Outcome
from reconciler.model.live import Discovery, Resource
from reconciler.model.manifest import GroupKind, Manifest, ObjectKey
from reconciler.objects.kinds import API_SERVICE, DEFINITION, NAMESPACES, is_established
from reconciler.ports import ClusterApi

LONGEST_WAIT_S = 3.0
LOOK_EVERY_S = 0.1


def find_resource(api: ClusterApi, manifest: Manifest) -> Resource:
    """The manifest's kind at its version. Discovery is asked anew once when it does not know it.

    Raises UnknownKind, naming the versions that are served.
    """
    group_kind, version = manifest.key.group_kind, manifest.api_version.rpartition("/")[2]
    for refresh in (False, True):
        discovery = api.discovery(refresh=refresh)
        if (found := discovery.find(group_kind, version)) is not None:
            return found
    served = ", ".join(one.api_version for one in discovery.resources.get(group_kind, ()))
    hint = f"it serves {served}" if served else "install its CRD first, or correct apiVersion and kind"
    raise UnknownKind(
        f"{manifest.key}: cluster {api.name} does not serve {manifest.api_version} {group_kind.kind}; {hint}",
        subject=manifest.key,
    )


def require_namespace(api: ClusterApi, name: str) -> None:
    """Make a namespace that is missing. It is nobody's member, shared freely, and never pruned."""
    if name in api.known_namespaces:
        return
    if api.get(NAMESPACES, "", name, metadata_only=True) is None:
        make_namespace(api, name)
    api.known_namespaces.add(name)


def make_namespace(api: ClusterApi, name: str) -> None:
    """Create a namespace. Another sync may make it at the same moment, which is all we want."""
    with contextlib.suppress(PreconditionFailed):
        api.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})


def await_definitions(api: ClusterApi, outcomes: Iterable[Outcome]) -> None:
    """Wait until the CRDs of a wave are established and their kinds are found by discovery, 3 s at most.

    One that takes longer is no error here: applying its objects will say UnknownKind, and the instance comes due again.
    """
    kinds = (DEFINITION, API_SERVICE)
    made = [found for found in outcomes if found.error is None and found.key.group_kind in kinds]
    if not made:
        return
    definitions = [found for found in made if found.key.group_kind == DEFINITION and found.live is not None]
    # The server tells of the condition by a watch only; within these three seconds a look each 0.1 s is cheaper.
    pending = [found for found in definitions if not is_established(found.live)]
    for _ in looks(LONGEST_WAIT_S, LOOK_EVERY_S):
        pending = [found for found in pending if not _is_established_now(api, found.key)]
        # Discovery is gathered beside the condition, and may follow it by a moment.
        if not pending and _are_served(api.discovery(refresh=True), definitions):
            return


def _is_established_now(api: ClusterApi, key: ObjectKey) -> bool:
    resource = api.discovery().find(key.group_kind)
    return resource is not None and is_established(api.get(resource, "", key.name))


def _are_served(discovery: Discovery, definitions: Iterable[Outcome]) -> bool:
    specs = [(found.live or {})["spec"] for found in definitions]
    return all(
        discovery.find(GroupKind(spec["group"], spec["names"]["kind"]), version["name"]) is not None
        for spec in specs
        for version in spec["versions"]
        if version.get("served")
    )
