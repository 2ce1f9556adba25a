"""What a pass writes down as it goes, so that its record is true wherever it stopped.

Each step is named before it begins and timed; an error ends the pass and becomes the record's reason. Nothing here
decides what to do: `pipeline.verdict` turns these notes into the sentence that people read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

from reconciler import health
from reconciler.clock import Clock
from reconciler.errors import ClusterIdentityChanged, FirstContact, LeaseError, NeedsReplacing, NoAnswer, UndriftError
from reconciler.model.changeset import ChangeSet, Drift, Outcome, Result
from reconciler.model.health import Health, HealthReport, ObjectHealth
from reconciler.model.inventory import NEVER_PRUNED, Applied, HistoryEntry, Inventory, Proof
from reconciler.model.live import Observation
from reconciler.model.manifest import ManifestSet, ObjectKey, Raw
from reconciler.model.plan import DRIFTED, Action, Cause, Change, Plan
from reconciler.model.record import Heals, Memory, ObjectStatus, Order, Sync, SyncRecord
from reconciler.model.revision import Revision
from reconciler.model.spec import InstanceSpec
from reconciler.objects import clean, foreign, managedfields
from reconciler.pipeline import verdict
from reconciler.plan import contest

APPLIED_RESULTS = frozenset(
    {Result.CREATED, Result.CONFIGURED, Result.UNCHANGED, Result.HEALED, Result.ADOPTED, Result.MOVED, Result.REPLACED}
)
NOT_JUDGED = ObjectHealth(Health.UNKNOWN, "NotOurs", "it exists, and is not as Git says; how it is was not looked at")
GONE_RESULTS = frozenset({Result.DELETED, Result.GONE, Result.LEFT})


class Notes:
    """The notes of one pass. `record()` may be called at any point and tells what is known by then."""

    def __init__(self, spec: InstanceSpec, order: Order, memory: Memory, fence: int, clock: Clock) -> None:
        if memory.unflushed is not None and memory.unflushed.spec_digest != spec.digest:
            memory = replace(
                memory, heals={}
            )  # a person has changed what is wanted: an old fight says nothing about it
        self.spec, self.order, self.memory, self.fence = spec, order, memory, fence
        self._clock = clock
        self._started_at = clock.now()
        self._answers: Callable[[], Mapping[str, int]] = dict
        self._durations: dict[str, float] = {}
        self._outcomes: list[Outcome] = []
        self.error: UndriftError | None = None
        self.step_name = "begin"
        self.revision: Revision | None = None
        self.desired: ManifestSet | None = None
        self.inventory: Inventory | None = None
        self.seen: Observation | None = None
        self.plan: Plan | None = None
        self.exists: Mapping[ObjectKey, Raw] = {}
        self.wrote = False

    # ── while the pass runs

    @contextmanager
    def catching(self) -> Iterator[None]:
        """End the pass on an error of the tree; a lost lease goes on up, since there is nothing to record."""
        try:
            yield
        except LeaseError:
            raise
        except UndriftError as error:
            self.error = error

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a step. Steps may nest; the inner one's time counts for both."""
        outer, self.step_name = self.step_name, name
        begun = self._clock.boot_s()
        try:
            yield
        finally:
            self._durations[name] = self._durations.get(name, 0.0) + self._clock.boot_s() - begun
        self.step_name = outer

    def counting(self, answers: Callable[[], Mapping[str, int]]) -> None:
        self._answers = answers

    def read(self, inventory: Inventory) -> None:
        self.inventory = inventory

    def fetched(self, revision: Revision) -> None:
        self.revision = revision

    def planned(self, desired: ManifestSet, inventory: Inventory, seen: Observation, plan: Plan) -> None:
        self.desired, self.inventory, self.seen, self.plan = desired, inventory, seen, plan

    def replanned(self, plan: Plan) -> None:
        self.plan = plan

    def looked(self, exists: Mapping[ObjectKey, Raw]) -> None:
        """What exists of the objects that are to be created, in a pass that writes nothing."""
        self.exists = exists

    def begun(self) -> None:
        """The inventory was written: from here on the pass counts as one that wrote."""
        self.wrote = True

    def applied(self, changes: ChangeSet) -> None:
        """Add outcomes; a later outcome of the same object replaces the earlier one."""
        fresh = {outcome.key for outcome in changes}
        told = [self._without_mere_ownership(outcome) for outcome in changes]
        self._outcomes = [outcome for outcome in self._outcomes if outcome.key not in fresh] + told

    def _without_mere_ownership(self, outcome: Outcome) -> Outcome:
        """A heal that changed no value took back the ownership of a field that somebody had set to what it was: no news."""
        before = self.seen.live.get(outcome.key) if self.seen else None
        if outcome.result is not Result.HEALED or outcome.drift or before is None or outcome.live is None:
            return outcome
        if before["metadata"].get("uid") != outcome.live["metadata"].get("uid"):
            return outcome
        same = clean.meant(before) == clean.meant(outcome.live)
        return replace(outcome, result=Result.UNCHANGED) if same else outcome

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        return tuple(self._outcomes)

    @property
    def commit(self) -> str:
        return self.revision.commit if self.revision else ""

    @property
    def failures(self) -> tuple[Outcome, ...]:
        return tuple(outcome for outcome in self._outcomes if outcome.error is not None)

    @property
    def first_contact(self) -> Mapping[ObjectKey, str]:
        """The objects that turned out to exist without being ours, with their uids."""
        return {one.key: one.error.uid for one in self.failures if isinstance(one.error, FirstContact)}

    @property
    def briefs(self) -> Mapping[ObjectKey, str]:
        """What taking each of these over would change, in few words."""
        return {one.key: one.error.brief for one in self.failures if isinstance(one.error, FirstContact)}

    @property
    def needing_replacement(self) -> tuple[ObjectKey, ...]:
        """The objects that have to be deleted and made anew, and were not yet."""
        return tuple(outcome.key for outcome in self.failures if isinstance(outcome.error, NeedsReplacing))

    def may_prune(self, plan: Plan) -> bool:
        """Nothing is deleted in a pass in which something else went wrong, or that waits for a person."""
        return not plan.holds and not self.failures

    # ── afterwards

    def record(self) -> SyncRecord:
        """The pass as told to people, and the memory for the next one."""
        now = self._clock.now()
        report = self.health(now)
        told = verdict.tell(self, report, now)
        applied = self._applied(now)
        entry = HistoryEntry(now, self.commit, ", ".join(self.order.reasons), told.reason, told.message, self.fence)
        return SyncRecord(
            instance=self.spec.key,
            fence=self.fence,
            reasons=self.order.reasons,
            started_at=self._started_at,
            finished_at=now,
            sync=told.sync,
            phase=told.phase,
            health=report.worst,
            reason=told.reason,
            message=told.message,
            revision=self.revision,
            digest=self.desired.digest if self.desired else "",
            plan_id=self.plan.id if self.plan and self.plan.holds else "",
            counts=Counter(str(outcome.result) for outcome in self._outcomes),
            objects=self._objects(report),
            drift=self.drift,
            warnings=self._warnings(),
            durations_s=dict(self._durations),
            answers=self._answers(),
            retry=told.retry,
            memory=Memory()
            if isinstance(self.error, ClusterIdentityChanged)  # what was proven was proven of another cluster
            else Memory(
                unflushed=applied or self.memory.unflushed,
                unflushed_entry=entry if applied else self.memory.unflushed_entry,
                heals=self._heals(now),
                waiting_since=told.waiting_since,
                closure=self.desired.closure if self.desired and verdict.is_complete(self) else None,
            ),
            wrote=self.wrote,
            unanswered=isinstance(self.error, NoAnswer),
        )

    def _warnings(self) -> tuple[str, ...]:
        """What a person should know though nothing failed: of the render, of what admission made of the applies, and what is
        never pruned."""
        rewritten = (
            f"{outcome.key}: admission changed {what} as it was applied; that is no drift"
            for outcome in self._outcomes
            for what in outcome.admission
        )
        alone = self.plan.left_alone if self.plan else ()
        kept = (f"{key}: left alone: {why}" for key, why in alone if why == NEVER_PRUNED)
        return (*(self.desired.warnings if self.desired is not None else ()), *rewritten, *kept)

    @property
    def drift(self) -> tuple[Drift, ...]:
        """What others had changed of ours, with who; also what was seen but not healed."""
        found = [drift for outcome in self._outcomes for drift in outcome.drift]
        named = {drift.key for drift in found}
        named |= {outcome.key for outcome in self._outcomes if outcome.result is Result.UNCHANGED}
        if self.plan is not None:
            for change in (*self.plan.changes, *self.plan.reported):
                if change.cause in DRIFTED and change.key not in named:
                    found += self._seen_drift(change)
        return tuple(found)

    def _seen_drift(self, change: Change) -> list[Drift]:
        """Drift that no conflict named: a field that was removed, an object that was deleted or made anew."""
        live = self.seen.live.get(change.key) if self.seen else None
        if live is None or change.manifest is None:
            return [Drift(change.key, "(deleted)", "")]
        if change.cause is Cause.FOREIGN:
            return list(foreign.to_remove(change.key, live, self.spec.key.manager, self.spec.drift.foreign_fields))
        lost = managedfields.lost(live, self.spec.key.manager, change.manifest.body)
        if lost:
            return [Drift(change.key, field, manager) for field, manager in lost]
        return [Drift(change.key, "", managedfields.last_writer(live, self.spec.key.manager))]

    def health(self, now: datetime) -> HealthReport:
        """The health of every desired object, by the newest answer about it; not judged of one that exists and was not to be
        had, since it was not looked at further."""
        if self.desired is None or self.seen is None:
            return HealthReport({})
        answered = {
            outcome.key: outcome.live
            for outcome in self._outcomes
            if outcome.live is not None and outcome.change.action is not Action.DELETE
        }
        exist = {outcome.key for outcome in self.failures if verdict.exists_anyway(outcome.error)}
        live = {key: answered.get(key) or self._seen_live(key) for key in self._keys()}
        report = health.report({key: one for key, one in live.items() if one is not None or key not in exist}, now)
        unjudged = {key: NOT_JUDGED for key, one in live.items() if one is None and key in exist}
        found = {**report.objects, **unjudged}
        return HealthReport({key: found[key] for key in live})

    def _keys(self) -> list[ObjectKey]:
        return [manifest.key for manifest in self.desired] if self.desired else []

    def _seen_live(self, key: ObjectKey) -> Raw | None:
        return self.exists.get(key) or (self.seen.live.get(key) if self.seen else None)

    def _applied(self, now: datetime) -> Applied | None:
        """The proof that this pass leaves. None when it wrote nothing: then the earlier proof stands."""
        if not self.wrote or self.desired is None or self.plan is None or self.inventory is None:
            return None
        return Applied(
            fence=self.fence,
            revision=self.commit,
            digest=self.desired.digest,
            at=now,
            proofs=self._proofs(),
            removed=self._removed(),
            adopted=frozenset(outcome.key for outcome in self._outcomes if outcome.result is Result.ADOPTED),
            closure=self.desired.closure,
            spec_digest=self.spec.digest,
            complete=verdict.is_complete(self),
        )

    def _proofs(self) -> dict[ObjectKey, Proof]:
        before = self.inventory.applied.proofs if self.inventory and self.inventory.applied else {}
        untouched: set[ObjectKey] = set()
        if self.plan is not None:
            untouched = {*self.plan.kept, *self.plan.contested, *(change.key for change in self.plan.reported)}
        proofs = {key: proof for key, proof in before.items() if key in untouched}
        for outcome in self._outcomes:
            if outcome.result in APPLIED_RESULTS and outcome.change.manifest is not None:
                proofs[outcome.key] = Proof(outcome.change.manifest.digest, outcome.fingerprint)
        return proofs

    def _removed(self) -> frozenset[ObjectKey]:
        """Members to forget: gone, let go, or never ours although this pass had to name them before it looked."""
        before = self.inventory.members if self.inventory else {}
        gone = {outcome.key for outcome in self._outcomes if outcome.result in GONE_RESULTS}
        never = {outcome.key for outcome in self.failures if outcome.key not in before}
        refused = {
            outcome.key for outcome in self.failures if outcome.key in never and verdict.is_not_ours(outcome.error)
        }
        return frozenset(gone | refused)

    def fights(self, now: datetime) -> dict[ObjectKey, Heals]:
        """The desired objects that another writer keeps changing, after this pass's heals."""
        wanted = set(self._keys())
        return {key: one for key, one in self._heals(now).items() if contest.is_on(one) and key in wanted}

    def _heals(self, now: datetime) -> dict[ObjectKey, Heals]:
        healed = [
            drift
            for outcome in self._outcomes
            if outcome.result in APPLIED_RESULTS - {Result.UNCHANGED} and outcome.change.cause in DRIFTED
            for drift in (outcome.drift or (Drift(outcome.key, "", ""),))
        ]
        return dict(contest.after_heals(self.memory.heals, healed, now))

    def _objects(self, report: HealthReport) -> tuple[ObjectStatus, ...]:
        by_key = {outcome.key: outcome for outcome in self._outcomes}
        kept = set(self.plan.kept if self.plan else ())
        found = []
        for key, state in report.objects.items():
            outcome = by_key.get(key)
            in_sync = key in kept or (outcome is not None and outcome.result in APPLIED_RESULTS)
            error = outcome.error.message if outcome and outcome.error else ""
            found.append(
                ObjectStatus(
                    key=key,
                    sync=Sync.SYNCED if in_sync else Sync.OUT_OF_SYNC,
                    health=state.health,
                    result=str(outcome.result) if outcome else "",
                    message=error or state.message,
                )
            )
        return tuple(found)
