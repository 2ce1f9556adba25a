"""A fingerprint tells that our entry or the object's identity changed, and nothing else."""

from __future__ import annotations

import copy

from hypothesis import assume, given
from hypothesis import strategies as st

from reconciler.objects import managedfields
from tests.worlds import KEY, NOW, key, live

A = key("a")
MANAGER = KEY.manager
texts = st.text("abc", min_size=1, max_size=3)
values = st.none() | st.integers() | texts | st.dictionaries(texts, texts, max_size=2)
fields = st.recursive(st.just({}), lambda below: st.dictionaries(texts.map("f:{}".format), below), max_leaves=8)
foreign = st.fixed_dictionaries(
    {
        "manager": st.sampled_from(("kubectl-edit", "kube-controller-manager", "undrift:default/other", MANAGER)),
        "operation": st.sampled_from(("Apply", "Update")),
        "time": st.sampled_from(("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z")),
        "fieldsV1": fields,
    },
    optional={"subresource": st.sampled_from(("status", "scale"))},
)


def is_ours(entry):
    return entry["manager"] == MANAGER and entry["operation"] == "Apply" and "subresource" not in entry


@given(st.lists(foreign), st.dictionaries(texts, values), st.integers(), st.randoms())
def test_what_others_do_elsewhere_leaves_it_equal(entries, more, version, random):
    body = live(A)
    before = managedfields.fingerprint(body, MANAGER)

    body["metadata"]["managedFields"] += [entry for entry in entries if not is_ours(entry)]
    random.shuffle(body["metadata"]["managedFields"])
    body["metadata"] |= {"resourceVersion": str(version), "generation": version, "annotations": {"theirs": "x"}}
    body |= {"status": more, "spec": more}

    assert managedfields.fingerprint(body, MANAGER) == before


@given(fields)
def test_a_change_of_our_fields_changes_it(other):
    body, changed = live(A), live(A)
    entry = changed["metadata"]["managedFields"][0]
    assume(entry["fieldsV1"] != other)
    entry["fieldsV1"] = other

    assert managedfields.fingerprint(changed, MANAGER) != managedfields.fingerprint(body, MANAGER)


def test_another_apply_of_ours_changes_it():
    assert managedfields.fingerprint(live(A, written_at=NOW), MANAGER) != managedfields.fingerprint(live(A), MANAGER)


def test_another_object_of_the_same_name_changes_it():
    assert managedfields.fingerprint(live(A, uid="another"), MANAGER) != managedfields.fingerprint(live(A), MANAGER)


@given(st.lists(foreign))
def test_without_an_apply_entry_of_ours_there_is_none(entries):
    body = live(A)
    body["metadata"]["managedFields"] = [entry for entry in entries if not is_ours(entry)]

    assert managedfields.fingerprint(body, MANAGER) == ""


@given(st.lists(foreign, min_size=1))
def test_folding_others_into_ours_changes_no_input_and_is_done_once(entries):
    body = live(A)
    body["metadata"]["managedFields"] += entries
    before = copy.deepcopy(body)

    folded = managedfields.absorb(body, frozenset({"kubectl-edit"}), MANAGER)

    assert body == before
    if folded is None:
        assert not any(
            one["manager"] == "kubectl-edit" and one["operation"] == "Update" and "subresource" not in one
            for one in entries
        )
    else:
        again = {"metadata": {**body["metadata"], "managedFields": folded}}
        assert managedfields.absorb(again, frozenset({"kubectl-edit"}), MANAGER) is None
