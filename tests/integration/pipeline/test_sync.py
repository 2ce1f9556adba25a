"""The sentence, whole: what a sync does to a real API server, and what it says about it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.apply import Inventories
from reconciler.clock import SystemClock
from reconciler.model.brake import Brake
from reconciler.model.changeset import Drift
from reconciler.model.manifest import ObjectKey
from reconciler.model.record import Memory, Phase, Sync
from reconciler.model.rules import Guards, KindRule, ProjectRules
from reconciler.model.spec import SyncPolicy
from reconciler.render import Renderer
from tests.integration.pipeline.conftest import CONFIG_MAP, DEPLOYMENT, World, config_map


def patch(world: World, patches: list[dict[str, object]], name: str = "one", resource: object = CONFIG_MAP) -> None:
    world.api.patch_json(resource, world.name, name, patches)  # type: ignore[arg-type]  # Resources only


def test_a_first_sync_costs_two_requests_and_one_an_object(world: World) -> None:
    world.write({"a.yaml": config_map("one"), "b.yaml": config_map("two"), "c.yaml": config_map("three")})
    assert world.sync().counts == {"Created": 3}
    other = world.other(world.name + "-b", namespace=world.name)
    other.write({"a.yaml": config_map("four"), "b.yaml": config_map("five"), "c.yaml": config_map("six")})

    record = other.sync()

    assert (record.sync, record.counts, record.requests) == (Sync.SYNCED, {"Created": 3}, 5)


def test_an_unchanged_instance_costs_one_request_a_kind_and_writes_nothing(world: World) -> None:
    world.write({"a.yaml": config_map("one"), "b.yaml": config_map("two")})
    world.sync()
    before = world.inventory()

    record = world.sync()

    assert (record.sync, record.wrote, record.requests) == (Sync.SYNCED, False, 2)
    assert world.inventory() == before


def test_a_changed_object_alone_is_applied(world: World) -> None:
    world.write({"a.yaml": config_map("one"), "b.yaml": config_map("two")})
    world.sync()
    world.write({"a.yaml": config_map("one", a="2")})

    record = world.sync()

    assert record.counts == {"Configured": 1}
    assert (world.config_map() or {})["data"] == {"a": "2"}


def test_an_edit_is_healed_with_field_and_writer(world: World) -> None:
    world.write({"a.yaml": config_map("one")})
    world.sync()
    patch(world, [{"op": "replace", "path": "/data/a", "value": "by hand"}])

    record = world.sync(reasons=("drift",))

    key = ObjectKey("", "ConfigMap", world.name, "one")
    (drift,) = record.drift
    assert drift == Drift(key, ".data.a", "undrift", drift.ours, drift.theirs)
    assert drift.ours != drift.theirs
    assert record.counts == {"Healed": 1}
    assert (world.config_map() or {})["data"] == {"a": "1"}


def test_a_deleted_object_is_put_back(world: World) -> None:
    world.write({"a.yaml": config_map("one"), "b.yaml": config_map("two")})
    world.sync()
    live = world.config_map() or {}
    world.api.delete(CONFIG_MAP, world.name, "one", uid=live["metadata"]["uid"])

    record = world.sync(reasons=("drift",))

    assert record.counts == {"Healed": 1}
    assert record.drift[0].field == "(deleted)"
    assert world.config_map() is not None


def test_foreign_fields_stay(world: World) -> None:
    world.write({"a.yaml": config_map("one")})
    world.sync()
    patch(world, [{"op": "add", "path": "/metadata/annotations", "value": {"team": "web"}}])
    patch(world, [{"op": "add", "path": "/data/extra", "value": "theirs"}])

    record = world.sync(full=True)

    live = world.config_map() or {}
    assert (live["metadata"]["annotations"], live["data"]) == ({"team": "web"}, {"a": "1", "extra": "theirs"})
    assert record.sync is Sync.SYNCED


def test_a_full_pass_is_rendered_anew(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    renderer = Renderer(tmp_path / "again", cache=tmp_path / "renders")
    world.rooms = replace(world.rooms, renderer=renderer)
    world.write({"a.yaml": config_map("one")})
    world.sync()
    monkeypatch.setattr(renderer._cache, "find", lambda *_: pytest.fail("answered by the cache"))

    assert world.sync(full=True).counts == {"Unchanged": 1}
    renderer.close()


def test_a_removed_file_is_pruned(world: World) -> None:
    world.write({f"{n}.yaml": config_map(f"c{n}") for n in range(5)})
    world.sync()
    world.write({"3.yaml": None})

    record = world.sync()

    assert record.counts == {"Deleted": 1}
    assert world.config_map("c3") is None
    assert world.config_map("c2") is not None


def test_an_emptied_folder_prunes_nothing_and_says_why(world: World) -> None:
    world.write({"a.yaml": config_map("one"), "README": "kept so that the folder exists"})
    world.sync()
    world.write({"a.yaml": None})

    record = world.sync()

    assert (record.phase, record.reason) == (Phase.FAILED, "EmptyRender")
    assert world.config_map() is not None


def test_a_large_prune_is_held_until_exactly_its_plan_is_approved(world: World) -> None:
    world.write({f"{n}.yaml": config_map(f"c{n}") for n in range(5)})
    world.sync()
    world.write({f"{n}.yaml": None for n in range(1, 5)} | {"0.yaml": config_map("c0", a="new")})

    held = world.sync()

    assert (held.phase, held.reason, held.counts) == (Phase.HELD, "TooManyDeletions", {"Configured": 1})
    assert world.sync(approved_plan="0" * 12).phase is Phase.HELD
    assert world.config_map("c4") is not None

    done = world.sync(approved_plan=held.plan_id)

    assert (done.sync, done.counts) == (Sync.SYNCED, {"Deleted": 4})
    assert world.config_map("c4") is None


def test_a_project_may_let_a_held_deletion_hold_the_whole_plan(world: World) -> None:
    world.write({f"{n}.yaml": config_map(f"c{n}") for n in range(5)})
    world.sync()
    world.write({f"{n}.yaml": None for n in range(1, 5)} | {"0.yaml": config_map("c0", a="new")})
    rules = ProjectRules(namespaces=("*",), namespaced_kinds=(KindRule(),), guards=Guards(hold="Plan"))
    world.options = {**world.options, "rules": rules}
    before = world.config_map("c0")

    held = world.sync()

    assert (held.phase, held.reason, held.counts) == (Phase.HELD, "TooManyDeletions", {})
    assert "nothing was written, since guards.hold is Plan" in held.message
    assert world.config_map("c0") == before
    assert world.sync(approved_plan=held.plan_id).counts == {"Configured": 1, "Deleted": 4}


def fixed(name: str, value: str) -> str:
    """A ConfigMap whose data can't be changed, and that may be replaced."""
    meta = f'{{name: {name}, annotations: {{undrift.dev/replace: "true"}}}}'
    return f'apiVersion: v1\nkind: ConfigMap\nmetadata: {meta}\nimmutable: true\ndata: {{a: "{value}"}}\n'


def test_replacing_counts_as_deleting(world: World) -> None:
    world.write({f"{n}.yaml": fixed(f"c{n}", "1") for n in range(8)})
    world.sync()
    uid = (world.config_map("c0") or {})["metadata"]["uid"]
    world.write({"0.yaml": fixed("c0", "2"), "1.yaml": fixed("c1", "2")})

    assert world.sync().counts == {"Replaced": 2}
    assert (world.config_map("c0") or {})["metadata"]["uid"] != uid

    world.write({f"{n}.yaml": fixed(f"c{n}", "3") for n in range(4)})
    held = world.sync()

    assert (held.phase, held.reason) == (Phase.HELD, "TooManyDeletions")
    assert "deletes 4 of 8 objects" in held.message
    assert (world.config_map("c3") or {})["data"] == {"a": "1"}
    assert world.sync().phase is Phase.HELD

    done = world.sync(approved_plan=held.plan_id)

    assert (done.sync, done.counts) == (Sync.SYNCED, {"Replaced": 4})
    assert (world.config_map("c3") or {})["data"] == {"a": "3"}


def test_one_approval_lets_adoptions_and_replacements_through(world: World) -> None:
    """What applying has found is one plan with one id, and nothing reads Synced while a part of it waits."""
    world.write({f"{n}.yaml": fixed(f"c{n}", "1") for n in range(8)})
    world.sync()
    meta = {"name": "theirs", "namespace": world.name, "annotations": {"meta.helm.sh/release-name": "theirs"}}
    world.api.create(CONFIG_MAP, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"a": "1"}})
    world.write({f"{n}.yaml": fixed(f"c{n}", "2") for n in range(5)} | {"t.yaml": config_map("theirs")})

    held = world.sync()

    assert held.phase is Phase.HELD
    assert f"--plan {held.plan_id}" in held.message
    done = world.sync(approved_plan=held.plan_id)
    assert (done.sync, done.counts) == (Sync.SYNCED, {"Replaced": 5, "Adopted": 1})


def test_the_one_object_of_an_application_may_be_replaced(world: World) -> None:
    world.write({"0.yaml": fixed("one", "1")})
    world.sync()
    world.write({"0.yaml": fixed("one", "2")})

    assert world.sync().counts == {"Replaced": 1}


def test_an_object_annotated_against_pruning_is_left(world: World) -> None:
    world.write({f"{n}.yaml": config_map(f"c{n}") for n in range(5)})
    world.sync()
    patch(world, [{"op": "add", "path": "/metadata/annotations", "value": {"undrift.dev/prune": "disabled"}}], "c3")
    world.write({"3.yaml": None})

    record = world.sync()

    assert "disabled" in record.message
    assert world.config_map("c3") is not None


def test_a_revert_restores(world: World) -> None:
    world.write({"a.yaml": config_map("one", a="1")})
    world.sync()
    world.write({"a.yaml": config_map("one", b="2")})
    world.sync()

    world.repo.revert()
    world.sync()

    assert (world.config_map() or {})["data"] == {"a": "1"}


def test_the_second_application_that_declares_an_object_is_refused_and_names_the_first(world: World) -> None:
    world.write({"a.yaml": config_map("one")})
    world.sync()
    for value in ("1", "other"):
        second = world.other(f"{world.name}-{value}", namespace=world.name)
        second.write({"a.yaml": config_map("one", a=value)})

        record = second.sync()

        assert (record.phase, record.reason) == (Phase.FAILED, "OwnedByAnother")
        assert f"default/{world.name} " in record.message
    assert world.sync().sync is Sync.SYNCED


def test_another_tools_object_is_held_until_its_plan_is_approved(world: World) -> None:
    claimed = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "one",
            "namespace": world.name,
            "annotations": {"meta.helm.sh/release-name": "theirs"},
        },
        "data": {"a": "1"},
    }
    world.api.create(CONFIG_MAP, claimed)
    before = world.config_map()
    world.write({"a.yaml": config_map("one")})

    held = world.sync()

    assert (held.phase, held.reason) == (Phase.HELD, "FirstContact")
    assert world.config_map() == before
    assert world.sync().phase is Phase.HELD, "being named in the inventory must not make it ours"

    done = world.sync(approved_plan=held.plan_id)

    assert (done.sync, done.counts) == (Sync.SYNCED, {"Adopted": 1})
    assert (world.config_map() or {})["metadata"]["uid"] == (before or {})["metadata"]["uid"]


def test_an_unclaimed_object_with_the_same_values_is_adopted_and_never_pruned(world: World) -> None:
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "one", "namespace": world.name},
        "data": {"a": "1"},
    }
    world.api.create(CONFIG_MAP, body)
    world.write({"a.yaml": config_map("one")} | {f"{n}.yaml": config_map(f"c{n}") for n in range(4)})
    assert world.sync().counts == {"Adopted": 1, "Created": 4}
    world.write({"a.yaml": None})

    world.sync()

    assert world.config_map() is not None


def test_what_kubectl_applied_is_taken_over_so_that_git_can_remove_it(world: World) -> None:
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "one", "namespace": world.name},
        "data": {"a": "1", "b": "2"},
    }
    world.api.create(CONFIG_MAP, body)
    live = world.config_map() or {}
    entries = [{**entry, "manager": "kubectl-client-side-apply"} for entry in live["metadata"]["managedFields"]]
    patch(world, [{"op": "replace", "path": "/metadata/managedFields", "value": entries}])
    world.write({"a.yaml": config_map("one", a="1", b="2")})
    assert world.sync().sync is Sync.SYNCED
    world.write({"a.yaml": config_map("one", a="1")})

    world.sync()

    assert (world.config_map() or {})["data"] == {"a": "1"}


def test_a_deployments_scale_is_put_back(world: World) -> None:
    text = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "web:1"}]}
"""
    world.write({"a.yaml": text})
    world.sync()
    patch(world, [{"op": "replace", "path": "/spec/replicas", "value": 7}], "web", DEPLOYMENT)

    record = world.sync(reasons=("drift",))

    assert record.drift[0].field == ".spec.replicas"
    assert (world.api.get(DEPLOYMENT, world.name, "web") or {})["spec"]["replicas"] == 2


def test_a_crd_and_its_objects_come_in_one_sync(world: World) -> None:
    group = f"{world.name}.example.com"
    crd = f"""
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: flags.{group}}}
spec:
  group: {group}
  names: {{kind: Flag, plural: flags, singular: flag, listKind: FlagList}}
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}
"""
    flag = f"apiVersion: {group}/v1\nkind: Flag\nmetadata: {{name: dark}}\nspec: {{on: true}}\n"
    world.write({"crd.yaml": crd, "flag.yaml": flag})

    assert world.sync().counts == {"Created": 2}

    assert world.sync().phase is Phase.IDLE


def test_a_lost_inventory_is_rebuilt_and_what_it_held_is_never_pruned(world: World) -> None:
    world.write({f"{n}.yaml": config_map(f"c{n}") for n in range(5)})
    world.sync()
    world.rooms.inventories.delete(world.api, world.key, world.inventory())
    world.write({"3.yaml": None})

    first = world.sync()

    assert world.config_map("c3") is not None
    assert first.sync is Sync.SYNCED
    assert world.sync(full=True).counts == {"Unchanged": 4}, "nobody knows any more which of them existed before us"
    assert world.config_map("c3") is not None


def test_a_failed_sync_leaves_what_the_next_one_repairs(world: World) -> None:
    world.write(
        {"a.yaml": config_map("one"), "b.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: two}\ndata: 7\n"}
    )
    failed = world.sync()
    assert (failed.phase, failed.reason) == (Phase.FAILED, "InvalidObject")
    assert "b.yaml" in failed.message
    assert world.config_map() is not None

    world.write({"b.yaml": config_map("two")})

    assert world.sync().sync is Sync.SYNCED


def test_a_first_sync_of_a_new_instance_does_not_ask_for_an_inventory(world: World):
    world.write({f"{name}.yaml": config_map(name) for name in ("one", "two", "three")})
    world.api.discovery()  # known to the process, as to any that has synced before

    record = world.sync(is_first=True)

    assert (record.sync, record.counts, record.requests) == (Sync.SYNCED, {"Created": 3}, 4)
    assert len(world.inventory().members) == 3


def test_an_inventory_that_was_presumed_not_to_be_is_read_then(world: World):
    """The application was here before, left, and came back while Redis knew nothing of it."""
    world.write({"one.yaml": config_map(), "two.yaml": config_map("two")})
    world.sync()
    world.write({"two.yaml": None})

    world.memory = Memory()
    record = world.sync(is_first=True)

    assert record.sync == Sync.SYNCED
    assert record.counts == {"Deleted": 1} | {key: n for key, n in record.counts.items() if key != "Deleted"}
    assert world.config_map("two") is None
    assert world.config_map("one") is not None


def test_a_brake_lets_a_pass_look_and_write_nothing(world: World):
    world.write({"one.yaml": config_map()})
    brake = Brake("all", "incident", "ada", datetime.now(UTC))

    record = world.sync(brake=brake)

    assert (record.sync, record.phase, record.reason, record.wrote) == (Sync.OUT_OF_SYNC, Phase.PAUSED, "Frozen", False)
    assert "1 changes wait" in record.message
    assert not world.inventory().exists


def test_another_cluster_behind_a_known_name_is_held_and_drops_every_proof(world: World):
    world.write({"one.yaml": config_map()})
    world.sync()
    assert world.memory.unflushed is not None

    record = world.sync(cluster_uid="00000000-0000-0000-0000-000000000000")

    assert (record.phase, record.reason, record.wrote) == (Phase.HELD, "ClusterIdentityChanged", False)
    assert "cluster forget bare" in record.message
    assert world.memory == Memory()
    assert world.sync(cluster_uid=world.api.identity()).sync == Sync.SYNCED


def test_another_installation_takes_over_once_and_goes_on_without_a_write(world: World) -> None:
    """Disaster recovery: the hub is lost, its installation with it; the objects and the inventories are all there."""
    world.write({"one.yaml": config_map()})
    world.sync()
    world.sync(full=True)  # which also flushes what the first one proved
    heir = replace(world.rooms, inventories=Inventories("00000000-0000-4000-8000-00000000beef", world.rooms.clock))
    other = World(heir, world.target, world.repo, world.name)
    assert other.sync().reason == "InventoryError"

    name = world.key.inventory_name
    found = heir.inventories.foreign(other.api)
    assert found[name] == world.rooms.inventories.installation
    assert heir.inventories.take_over(other.api, name, found[name])
    assert not heir.inventories.take_over(other.api, name, found[name])

    before = world.config_map()
    record = other.sync()
    assert (record.sync, record.drift) == (Sync.SYNCED, ())
    assert world.config_map() == before
    assert world.sync().reason == "InventoryError"

    world.write({"one.yaml": config_map(a="2")})
    assert other.sync().counts == {"Configured": 1}
    assert name not in heir.inventories.foreign(other.api), "what the heir writes stays its own"
    assert world.sync().reason == "InventoryError"


class Hasty(SystemClock):
    """A clock on which each look costs a tenth of a second."""

    def __init__(self) -> None:
        self._looks = 0

    def boot_s(self) -> float:
        self._looks += 1
        return super().boot_s() + self._looks / 10


def test_an_apply_ends_after_its_own_time_and_the_next_one_goes_on(world: World) -> None:
    world.options["sync"] = SyncPolicy(apply_timeout=timedelta(seconds=1))
    world.write({f"{number}.yaml": config_map(f"c{number:02}") for number in range(30)})
    slow = replace(world, rooms=replace(world.rooms, clock=Hasty()))

    first = slow.sync()
    world.memory = slow.memory
    second = world.sync()

    assert (first.phase, first.reason) == (Phase.FAILED, "ApplyTimedOut")
    assert "not applied within 1 s (sync.applyTimeout)" in first.message
    assert 0 < first.counts["Created"] < 30
    assert (second.sync, second.counts["Created"]) == (Sync.SYNCED, 30 - first.counts["Created"])
