from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.manifest import GroupKind
from reconciler.objects import order
from tests.properties.strategies import changes, key_sets

NAMESPACE = GroupKind("", "Namespace")
DEFINITION = GroupKind("apiextensions.k8s.io", "CustomResourceDefinition")
WIDGET = GroupKind("example.com", "Widget")
LAST = {"ValidatingWebhookConfiguration", "APIService"}

change_lists = st.lists(changes, unique_by=lambda change: change.key, max_size=30)


def flat(waves):
    return [change.key for wave in waves for change in wave.changes]


@given(change_lists, st.randoms())
def test_waves_do_not_depend_on_the_order_given(given_changes, random):
    shuffled = list(given_changes)
    random.shuffle(shuffled)

    assert order.waves(shuffled) == order.waves(given_changes)


@given(change_lists)
def test_waves_hold_every_change_once_and_are_never_empty(given_changes):
    waves = order.waves(given_changes)

    assert sorted(flat(waves)) == sorted(change.key for change in given_changes)
    assert all(wave.changes for wave in waves)


@given(change_lists)
def test_namespaces_come_before_what_lives_in_them(given_changes):
    waves = order.waves(given_changes)

    at = {change.key: number for number, wave in enumerate(waves) for change in wave.changes}
    for key, number in at.items():
        for space, its in at.items():
            if space.group_kind == NAMESPACE and space.name == key.namespace:
                assert its < number


@given(change_lists)
def test_definitions_come_before_custom_resources_and_webhooks_last(given_changes):
    waves = order.waves(given_changes)

    at = {change.key: number for number, wave in enumerate(waves) for change in wave.changes}
    definitions = [number for key, number in at.items() if key.group_kind == DEFINITION]
    widgets = [number for key, number in at.items() if key.group_kind == WIDGET]
    last = [number for key, number in at.items() if key.kind in LAST]
    others = [number for key, number in at.items() if key.kind not in LAST]
    assert max(definitions, default=-1) < min(widgets, default=len(waves))
    assert max(others, default=-1) < min(last, default=len(waves))


@given(key_sets())
def test_deletion_is_the_reverse_of_creation(keys):
    ranks = [order.rank(key.group_kind) for key in order.deletion_order(keys)]

    assert ranks == sorted(ranks, reverse=True)


@given(key_sets(), st.randoms())
def test_deletion_does_not_depend_on_the_order_given(keys, random):
    shuffled = list(keys)
    random.shuffle(shuffled)

    assert order.deletion_order(shuffled) == order.deletion_order(keys)
