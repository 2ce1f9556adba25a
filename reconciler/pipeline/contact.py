"""First contact, looked at ahead: which of the objects that a plan creates exist already, and what would become of them.

A plan alone can't say: an object that is to be created may exist, which a sync learns when the API server refuses to
create it. Here each is looked up, and judged by the same dry runs as a sync would. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from reconciler import plan
from reconciler.apply import adopt, takeover
from reconciler.apply.job import Job, make_job
from reconciler.apply.recreate import is_asked_for
from reconciler.errors import FirstContact, ImmutableField, LeaseError, UndriftError, Unreachable
from reconciler.model.inventory import Inventory
from reconciler.model.live import Observation
from reconciler.model.manifest import ObjectKey, Raw
from reconciler.model.plan import Action, Change, Plan, Wave
from reconciler.model.record import Order
from reconciler.model.spec import InstanceSpec
from reconciler.objects.diff import Difference
from reconciler.ports import ClusterApi


@dataclass(frozen=True, slots=True)
class Met:
    """A plan as a sync would find it: a creation of what exists is an adoption (`Adopt`) or an apply to what is ours, and
    what waits for a person is in `held` and its holds, not in its waves. `refused` is why, for those and for what the API
    server would not take; `live` is what exists, `added` what adopting would add to it (under `Always`: change of it)."""

    plan: Plan
    held: tuple[Change, ...]
    refused: Mapping[ObjectKey, UndriftError]
    live: Mapping[ObjectKey, Raw]
    added: Mapping[ObjectKey, tuple[Difference, ...]]


def job_of(api: ClusterApi, change: Change, spec: InstanceSpec, inventory: Inventory) -> Job:
    """The job that a sync would carry a change out by."""
    return make_job(api, change, inventory=inventory, **apply_options(spec))


def apply_options(spec: InstanceSpec) -> dict[str, Any]:
    """What an instance says about how its objects are applied."""
    return {
        "key": spec.key,
        "adopt": spec.sync.adopt,
        "ignored": spec.ignore_differences,
        "foreign": spec.drift.foreign_fields,
        "formers": spec.formers,
    }


def existing(api: ClusterApi, decided: Plan) -> dict[ObjectKey, Raw]:
    """The objects that a plan creates and that exist. One request for each that it creates; one that we may not read is
    left out, as the sync itself will say so."""
    found = {}
    for change in decided.changes:
        if change.action is not Action.CREATE:
            continue
        try:
            live = _look(api, change)
        except (LeaseError, Unreachable):
            raise
        except UndriftError:
            continue
        if live is not None:
            found[change.key] = live
    return found


def meet(
    api: ClusterApi, spec: InstanceSpec, order: Order, decided: Plan, inventory: Inventory, seen: Observation
) -> Met:
    """Look at each creation of a plan, and at each replacement that a manifest asks for. Two to five requests for one
    that exists already."""
    live = existing(api, decided)
    refused: dict[ObjectKey, UndriftError] = {}
    actions: dict[ObjectKey, Action] = {}
    added: dict[ObjectKey, tuple[Difference, ...]] = {}
    for change in decided.changes:
        if change.manifest is None:
            continue
        try:
            job = job_of(api, change, spec, inventory)
            if change.key in live:
                actions[change.key], added[change.key] = _judged(job, live[change.key], spec)
            elif change.action is Action.APPLY and is_asked_for(job.body):
                now = job.look()
                (job if now is None else job.beside(now)).send(force=True, dry_run=True)
        except (LeaseError, Unreachable):
            raise
        except UndriftError as error:
            refused[change.key] = error
            if change.key in live:
                actions[change.key] = Action.ADOPT
    contact = {
        key: str(live[key]["metadata"]["uid"]) for key, error in refused.items() if isinstance(error, FirstContact)
    }
    replaced = {key for key, error in refused.items() if isinstance(error, ImmutableField) and key not in live}
    waves = [[_acting(one, actions) for one in wave.changes] for wave in decided.waves]
    if not contact and not replaced:
        return Met(replace(decided, waves=tuple(Wave(tuple(one)) for one in waves)), (), refused, live, added)
    briefs = {key: error.brief for key, error in refused.items() if isinstance(error, FirstContact)}
    grown = plan.with_found(
        decided,
        contact,
        replaced,
        inventory,
        seen,
        guards=spec.guards,
        approved=order.approved_plan,
        briefs=briefs,
    )
    found = contact.keys() | replaced
    others = tuple(Wave(rest) for one in waves if (rest := tuple(each for each in one if each.key not in found)))
    asked = dict.fromkeys(contact, Action.ADOPT) | dict.fromkeys(replaced, Action.REPLACE)
    held = [_acting(each, asked) for one in waves for each in one if each.key in found] if grown.holds else []
    refused = {key: error for key, error in refused.items() if key not in (replaced if grown.holds else found)}
    return Met(replace(grown, waves=(*others, *grown.waves)), tuple(held), refused, live, added)


def _look(api: ClusterApi, change: Change) -> Raw | None:
    assert change.manifest is not None  # a creation has one
    resource = api.discovery().find(change.key.group_kind, change.manifest.api_version.rpartition("/")[2])
    return api.get(resource, change.key.namespace, change.key.name) if resource else None


def _judged(job: Job, live: Raw, spec: InstanceSpec) -> tuple[Action, tuple[Difference, ...]]:
    """What an object that exists would see, and what an adoption would change of it. Raises what `takeover.judge` does; what
    the API server would refuse even with a person's word is that refusal, and no question to a person."""
    if adopt.holder_of(live, spec.key, spec.formers) is not None:
        return Action.APPLY, ()
    try:
        return Action.ADOPT, takeover.judge(job, live)
    except FirstContact:
        job.beside(live).send(force=True, dry_run=True)
        raise


def _acting(change: Change, actions: Mapping[ObjectKey, Action]) -> Change:
    return replace(change, action=actions.get(change.key, change.action))
