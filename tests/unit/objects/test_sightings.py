"""What a new sight of an object means: nothing, our own apply, or somebody who took a field from us."""

from __future__ import annotations

from typing import Any

from reconciler.model.manifest import GroupKind, ObjectKey
from reconciler.objects.sightings import Sight, Sightings

OURS = "undrift:default/web"
KEY = ObjectKey("", "ConfigMap", "shop", "one")


def live(
    version: int, *fields: str, at: str = "2026-01-01T00:00:00Z", uid: str = "u", others: int = 0, name: str = "one"
) -> dict[str, Any]:
    own = {
        "manager": OURS,
        "operation": "Apply",
        "time": at,
        "fieldsV1": {"f:data": {f"f:{one}": {} for one in fields}},
    }
    other = {"manager": "kubelet", "operation": "Update", "time": at, "fieldsV1": {"f:status": {f"f:{others}": {}}}}
    meta = {"name": name, "namespace": "shop", "uid": uid, "resourceVersion": str(version)}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {**meta, "managedFields": ([own] if fields else []) + [other]},
    }


def sights(*bodies: dict[str, Any]) -> list[Sight]:
    seen = Sightings()
    return [seen.see(one)[0] for one in bodies]


def test_the_first_sight_and_mere_updates_of_others_mean_nothing() -> None:
    assert sights(live(1, "a"), live(2, "a", others=1), live(3, "a", others=2)) == [Sight.OURS, Sight.SAME, Sight.SAME]


def test_a_field_that_was_taken_from_us_is_theirs() -> None:
    assert sights(live(1, "a", "b"), live(2, "a"))[1] is Sight.THEIRS


def test_an_entry_that_is_gone_is_theirs_and_still_ours_by_name() -> None:
    seen = Sightings()
    seen.see(live(1, "a"))

    sight, now = seen.see(live(2))

    assert (sight, now.manager) == (Sight.THEIRS, OURS)


def test_what_was_made_anew_by_others_is_theirs_and_by_us_is_ours() -> None:
    assert sights(live(1, "a"), live(2, "a", uid="v"))[1] is Sight.THEIRS
    assert sights(live(1, "a"), live(2, "a", uid="v", at="2026-01-01T00:00:05Z"))[1] is Sight.OURS


def test_a_later_apply_of_ours_is_ours_whatever_it_declares() -> None:
    assert sights(live(1, "a", "b"), live(2, "a", at="2026-01-01T00:00:01Z"))[1] is Sight.OURS


def test_an_older_version_that_is_told_again_means_nothing() -> None:
    assert sights(live(5, "a"), live(3, "a", "b"), live(5, "a")) == [Sight.OURS, Sight.SAME, Sight.SAME]


def test_what_a_list_lacks_is_missing_in_its_kind_alone() -> None:
    seen = Sightings()
    seen.see(live(1, "a"))
    seen.see(live(1, "a", name="two"))

    assert list(seen.missing(GroupKind("", "ConfigMap"), [live(1, "a", name="two")])) == [KEY]
    assert list(seen.missing(GroupKind("", "Secret"), [])) == []
    assert seen.lose(KEY) is not None
    assert (seen.lose(KEY), len(seen)) == (None, 1)
