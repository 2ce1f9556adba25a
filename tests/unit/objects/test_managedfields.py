from __future__ import annotations

import pytest

from reconciler.objects import managedfields
from reconciler.objects.keys import PART_OF
from tests.worlds import KEY, drifted, key, live

A = key("a")
MANAGER = KEY.manager


def entry(manager, fields, operation="Update", time="2026-01-01T00:00:00Z", **more):
    return {"manager": manager, "operation": operation, "time": time, "apiVersion": "v1", "fieldsV1": fields, **more}


def body(*entries, **more):
    return {"metadata": {"name": "a", "uid": "u", "managedFields": list(entries), **more}}


def test_paths_read_as_the_api_server_writes_them_in_conflicts():
    fields = {
        "f:metadata": {
            "f:labels": {".": {}, "f:app.kubernetes.io/name": {}},
            "f:finalizers": {'v:"example.com/x"': {}},
        },
        "f:spec": {
            "f:containers": {'k:{"name":"web"}': {".": {}, "f:image": {}}},
            "f:ports": {'k:{"port":80,"protocol":"TCP"}': {".": {}}},
            "f:args": {"i:0": {}},
        },
    }

    assert managedfields.paths(fields) == {
        ".metadata.labels.app.kubernetes.io/name",
        '.metadata.finalizers[="example.com/x"]',
        '.spec.containers[name="web"].image',
        '.spec.ports[port=80,protocol="TCP"]',
        ".spec.args[0]",
    }


def test_an_object_without_managed_fields_has_no_fingerprint():
    assert managedfields.fingerprint({"metadata": {"uid": "u"}}, MANAGER) == ""


def test_entries_of_a_subresource_or_of_updates_are_not_ours():
    by_status = entry(MANAGER, {"f:status": {}}, "Apply", subresource="status")

    assert managedfields.fingerprint(body(by_status, entry(MANAGER, {})), MANAGER) == ""


def test_our_label_is_owned_when_our_apply_wrote_it():
    assert managedfields.owns_label(live(A), MANAGER, PART_OF)


@pytest.mark.parametrize(
    "other",
    [live(A, manager="kube-controller-manager"), body(labels={PART_OF: "x"}), body(entry(MANAGER, None, "Apply"))],
    ids=["another-manager", "no-entry", "no-fields"],
)
def test_a_label_that_was_copied_is_not_owned(other):
    assert not managedfields.owns_label(other, MANAGER, PART_OF)


def test_the_last_writer_is_the_newest_other_one_that_wrote_no_status():
    found = body(
        entry(MANAGER, {}, "Apply", time="2026-01-09T00:00:00Z"),
        entry("kubectl-edit", {}, time="2026-01-03T00:00:00Z"),
        entry("kubectl", {}, time="2026-01-02T00:00:00Z", subresource="scale"),
        entry("kube-controller-manager", {}, time="2026-01-08T00:00:00Z", subresource="status"),
    )

    assert managedfields.last_writer(found, MANAGER) == "kubectl-edit"


@pytest.mark.parametrize(
    ("others", "is_ours"),
    [
        pytest.param([], True, id="nobody else"),
        pytest.param([entry("kubectl-edit", {}, time="2026-01-01T00:00:01Z")], False, id="a newer one"),
        pytest.param([entry("kubectl-edit", {}, time="2025-12-31T00:00:01Z")], True, id="an older one"),
        pytest.param(
            [entry("controller", {}, time="2026-01-01T00:00:01Z", subresource="status")], True, id="a status writer"
        ),
    ],
)
def test_whether_our_apply_is_the_newest_write(others, is_ours):
    assert managedfields.wrote_last(body(entry(MANAGER, {}, "Apply"), *others), MANAGER) is is_ours


def test_what_we_never_applied_we_did_not_write_last():
    assert not managedfields.wrote_last(body(entry("kubectl-edit", {})), MANAGER)


def test_nobody_is_the_last_writer_of_an_object_that_is_ours_alone():
    assert managedfields.last_writer(live(A), MANAGER) == ""


class TestLost:
    SENT = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "a", "labels": {PART_OF: "x"}},
        "data": {"a": "1"},
    }

    def test_nothing_is_lost_while_we_own_what_we_sent(self):
        assert managedfields.lost(live(A), MANAGER, self.SENT) == ()

    def test_a_field_that_another_took_names_who(self):
        assert managedfields.lost(drifted(A), MANAGER, self.SENT) == ((".data.a", "kubectl-edit"),)

    def test_a_field_that_was_removed_names_the_last_writer(self):
        found = drifted(A)
        found["metadata"]["managedFields"][1]["fieldsV1"] = {"f:data": {}}

        assert managedfields.lost(found, MANAGER, self.SENT) == ((".data.a", "kubectl-edit"),)

    def test_the_newest_of_two_owners_is_named(self):
        found = drifted(A)
        taken = found["metadata"]["managedFields"][1]
        found["metadata"]["managedFields"].append({**taken, "manager": "later", "time": "2026-01-01T11:30:00Z"})

        assert managedfields.lost(found, MANAGER, self.SENT) == ((".data.a", "later"),)

    def test_everything_is_lost_when_our_entry_was_cleared(self):
        lost = managedfields.lost(body(), MANAGER, {**self.SENT, "status": {"x": 1}, "spec": {"gone": None}})

        assert lost == ((".data.a", ""), (f".metadata.labels.{PART_OF}", ""))

    def test_maps_and_lists_that_are_owned_whole_or_in_part_are_not_lost(self):
        fields = {"f:spec": {"f:selector": {}, "f:args": {}, "f:ports": {'k:{"port":80}': {".": {}, "f:port": {}}}}}
        sent = {
            "spec": {"selector": {"app": "web"}, "args": ["x"], "ports": [{"port": 80}], "volumes": [{"name": "v"}]}
        }

        assert managedfields.lost(body(entry(MANAGER, fields, "Apply")), MANAGER, sent) == ((".spec.volumes", ""),)


class TestAbsorb:
    """csaupgrade of client-go: entries of client-side apply are folded into the Apply entry of the same version."""

    CSA = frozenset({"kubectl-client-side-apply"})

    def test_nothing_to_fold_is_none(self):
        assert managedfields.absorb(live(A), self.CSA, MANAGER) is None

    def test_an_entry_is_renamed_when_we_have_none(self):
        before = entry("kubectl-client-side-apply", {"f:data": {"f:a": {}}})

        assert managedfields.absorb(body(before), self.CSA, MANAGER) == [
            {**before, "manager": MANAGER, "operation": "Apply"}
        ]

    def test_an_entry_is_united_with_ours(self):
        ours = entry(MANAGER, {"f:data": {"f:a": {}}}, "Apply")
        theirs = entry("kubectl-client-side-apply", {"f:data": {"f:b": {}}, "f:metadata": {"f:labels": {"f:x": {}}}})

        assert managedfields.absorb(body(ours, theirs), self.CSA, MANAGER) == [
            {**ours, "fieldsV1": {"f:data": {"f:a": {}, "f:b": {}}, "f:metadata": {"f:labels": {"f:x": {}}}}}
        ]

    def test_an_entry_of_another_version_is_dropped_and_not_united(self):
        ours = entry(MANAGER, {"f:data": {"f:a": {}}}, "Apply")
        theirs = {**entry("kubectl-client-side-apply", {"f:data": {"f:b": {}}}), "apiVersion": "v1beta1"}

        assert managedfields.absorb(body(ours, theirs), self.CSA, MANAGER) == [ours]

    def test_subresources_and_other_managers_stay(self):
        status = entry("kubectl-client-side-apply", {"f:status": {}}, subresource="status")
        helm, csa = entry("helm", {}), entry("kubectl-client-side-apply", {})

        folded = managedfields.absorb(body(status, helm, csa), self.CSA, MANAGER)

        assert folded is not None
        assert folded[1:] == [status, helm]


def test_other_writers_are_named_with_their_fields_the_newest_first():
    entries = [
        {"manager": "undrift:default/web", "operation": "Apply", "fieldsV1": {"f:data": {"f:a": {}}}},
        {"manager": "old", "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:data": {"f:c": {}, "f:b": {}}}},
        {"manager": "new", "time": "2026-02-01T00:00:00Z", "fieldsV1": {"f:metadata": {"f:labels": {"f:x": {}}}}},
        {"manager": "status", "subresource": "status", "time": "2026-03-01T00:00:00Z", "fieldsV1": {"f:status": {}}},
        {"manager": "nothing", "time": "2026-03-01T00:00:00Z", "fieldsV1": {}},
    ]

    found = managedfields.foreign({"metadata": {"managedFields": entries}}, "undrift:default/web")

    assert [(one.manager, one.fields) for one in found] == [
        ("new", (".metadata.labels.x",)),
        ("old", (".data.b", ".data.c")),
    ]
