from __future__ import annotations

import pytest

from reconciler.objects import diff
from reconciler.objects.diff import Difference

HUNTER = "aHVudGVyMg=="
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "data": {"password": HUNTER, "user": "YQ=="}}


def pod(*containers, **more):
    return {"kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": list(containers), **more}}


def test_equal_objects_do_not_differ():
    assert diff.differences(pod({"name": "web"}), pod({"name": "web"})) == ()


def test_what_the_server_keeps_for_itself_is_no_difference():
    before, after = pod(), pod()
    after["metadata"] = {"name": "a", "uid": "u", "resourceVersion": "2", "managedFields": [{}]}
    after["status"] = {"phase": "Running"}

    assert diff.differences(before, after) == ()


def test_a_changed_and_an_added_and_a_removed_field_are_told_by_path():
    before = pod(hostname="x", replicas=1)
    after = pod(hostname="y", paused=True)

    assert diff.differences(before, after) == (
        Difference(".spec.hostname", "x", "y"),
        Difference(".spec.paused", None, True),
        Difference(".spec.replicas", 1, None),
    )


def test_items_of_a_list_are_matched_by_name():
    before = pod({"name": "web", "image": "web:1"}, {"name": "log", "image": "log:1"})
    after = pod({"name": "web", "image": "web:2"}, {"name": "log", "image": "log:1"})

    assert diff.differences(before, after) == (Difference(".spec.containers[name=web].image", "web:1", "web:2"),)


def test_another_order_of_items_is_a_difference_since_it_restarts_pods():
    before, after = pod({"name": "a"}, {"name": "b"}), pod({"name": "b"}, {"name": "a"})

    assert diff.differences(before, after) == (Difference(".spec.containers[order]", ["a", "b"], ["b", "a"]),)


def test_an_added_item_is_told_whole():
    found = diff.differences(pod({"name": "a"}), pod({"name": "a"}, {"name": "b"}))

    assert found == (Difference(".spec.containers[name=b]", None, {"name": "b"}),)


@pytest.mark.parametrize(
    ("before", "after"),
    [(["a"], ["b"]), ([{"name": "a"}, {"name": "a"}], [{"name": "a"}]), ([{"x": 1}], [{"x": 2}]), ([], ["a"])],
)
def test_lists_without_a_unique_name_are_compared_whole(before, after):
    assert diff.differences(pod(args=before), pod(args=after)) == (Difference(".spec.args", before, after),)


def test_a_new_object_is_one_difference_with_its_secrets_masked():
    (found,) = diff.differences(None, SECRET)

    assert (found.path, found.before) == ("", None)
    assert HUNTER not in str(found)


def test_a_deleted_object_is_one_difference():
    (found,) = diff.differences(pod(), None)

    assert found.after is None


def test_nothing_against_nothing_does_not_differ():
    assert diff.differences(None, None) == ()


def test_a_changed_secret_is_seen_without_its_values():
    after = {**SECRET, "data": {"password": "bmV3", "user": "YQ=="}}

    (found,) = diff.differences(SECRET, after)

    assert found.path == ".data.password"
    assert found.before != found.after
    assert HUNTER not in str(found)
    assert "bmV3" not in str(found)


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        (1, 3, ".spec.x: 1 -> 3"),
        (None, {"name": "web", "on": True}, '.spec.x: (none) -> {"name":"web","on":true}'),
        (None, "", '.spec.x: (none) -> ""'),
        ("a\nb\x1b", None, '.spec.x: "a\\nb\\u001b" -> (none)'),
        ("\u202e", None, '.spec.x: "\\u202e" -> (none)'),
    ],
)
def test_a_difference_is_one_line_of_json_that_no_terminal_obeys(before, after, shown):
    assert diff.line(Difference(".spec.x", before, after)) == shown


def test_of_two_long_values_the_place_is_shown_where_they_part():
    before, after = ("x" * 3000 + word + "y" * 3000 for word in ("mango", "peach"))

    shown = diff.line(Difference(".data.x", before, after))

    assert len(shown) < 300
    assert "xmangoy" in shown
    assert "xpeachy" in shown


def test_a_long_value_that_comes_is_shown_from_its_beginning():
    shown = diff.line(Difference(".data.x", None, "mango" + "x" * 3000))

    assert shown.startswith('.data.x: (none) -> "mangox')
    assert len(shown) < 200
