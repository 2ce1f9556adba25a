"""Which status is told, under which condition, and what is one topic."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from datetime import timedelta

import pytest

from reconciler.model.brake import Brake
from reconciler.model.instance import InstanceKey
from reconciler.model.status import InstanceStatus
from reconciler.notify import Condition, Topic, Trouble, current
from reconciler.notify.topic import UNDECIDED, topic_of
from tests.notices import NOW, REPO, seen, status

WEB = "default/web@eu-1"


@pytest.mark.parametrize(
    ("found", "condition", "reason"),
    [
        pytest.param(status(WEB, "Held", "TooManyDeletions"), "Held", "TooManyDeletions", id="held"),
        pytest.param(status(WEB, "Failed", "TemplateFailed"), "Failed", "TemplateFailed", id="failed"),
        pytest.param(status(WEB, "Idle", "Degraded", health="Degraded"), "Degraded", "Degraded", id="degraded"),
        pytest.param(
            status(WEB, "Queued", "Degraded", health="Degraded"), "Degraded", "Degraded", id="degraded-queued"
        ),
        pytest.param(status(WEB, "Idle", "ManualSync", health="Degraded"), "Degraded", "Degraded", id="manual"),
        pytest.param(
            status(WEB, "Idle", "HealthTimeout", health="Progressing"), "Degraded", "HealthTimeout", id="never-healthy"
        ),
        pytest.param(status(WEB, "Waiting", "Contested"), "Contested", "Contested", id="contested"),
        pytest.param(status(WEB, "Failed", "Unreachable"), "Unreachable", "Unreachable", id="unreachable"),
        pytest.param(status(WEB, "Failed", "GitDenied"), "Unreachable", "GitDenied", id="git-denied"),
    ],
)
def test_a_condition_that_somebody_should_know_is_a_topic(found: InstanceStatus, condition: str, reason: str):
    topic = topic_of(found, REPO)

    assert isinstance(topic, Topic)
    assert (topic.condition, topic.reason) == (condition, reason)


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(status(WEB), id="synced"),
        pytest.param(status(WEB, "Idle", "Healed"), id="healed"),
        pytest.param(status(WEB, "Idle", "Drifted"), id="drifted"),
        pytest.param(status(WEB, "Waiting", "Leaving", health="Degraded"), id="leaving"),
        pytest.param(status(WEB, "Queued", "Synced"), id="queued"),
    ],
)
def test_what_is_well_is_no_topic(found: InstanceStatus):
    assert topic_of(found, REPO) is None


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(status(WEB, "Syncing", "TemplateFailed"), id="a pass is running"),
        pytest.param(status(WEB, "Waiting", "WaitingForHealth"), id="health is awaited"),
        pytest.param(status(WEB, "Paused", "Paused"), id="paused"),
        pytest.param(status(WEB, "Queued", "WorkerLost"), id="its worker was lost"),
        pytest.param(status(WEB, "Queued", "NeverSynced"), id="Redis was emptied"),
    ],
)
def test_what_is_not_known_now_ends_nothing_that_was_told(found: InstanceStatus):
    assert topic_of(found, REPO) is UNDECIDED


def test_a_bad_commit_on_400_clusters_is_one_topic():
    found = seen(*(status(f"default/web@c-{n}", "Failed", "TemplateFailed") for n in range(400)))

    (one,) = found.topics.values()
    assert len(one.instances) == 400
    assert one.message.startswith("default/web@c-0 and 399 more: ")


def test_another_revision_reason_or_application_is_another_topic():
    found = seen(
        status("web@a", "Failed", "TemplateFailed"),
        status("web@b", "Failed", "TemplateFailed", revision="b2"),
        status("web@c", "Failed", "InvalidManifest"),
        status("api@a", "Failed", "TemplateFailed"),
        status("shop/web@a", "Failed", "TemplateFailed"),
    )

    assert len(found.topics) == 5


def test_a_cluster_that_is_away_is_one_topic_and_decides_nothing_about_its_instances():
    found = seen(
        status("web@eu-1", "Failed", "TemplateFailed"),
        status("api@eu-1", "Failed", "Unreachable"),
        status("old@eu-1"),
        status("web@us-1", "Failed", "TemplateFailed"),
        clusters={"eu-1": Trouble("Unreachable", "no answer")},
    )

    by_condition = {str(one.topic.condition): one for one in found.topics.values()}
    assert by_condition["Unreachable"].instances == ("default/api@eu-1", "default/old@eu-1", "default/web@eu-1")
    assert by_condition["Unreachable"].message == "no answer"
    assert by_condition["Failed"].instances == ("default/web@us-1",)
    assert len(found.undecided) == 3


def test_what_waits_for_a_person_is_told_though_its_cluster_is_away():
    found = seen(status("web@eu-1", "Held", "LeavingHeld"), clusters={"eu-1": Trouble("Unreachable", "no answer")})

    assert sorted(str(one.topic.condition) for one in found.topics.values()) == ["Held", "Unreachable"]


def test_another_cluster_behind_a_name_is_held_once_for_the_cluster():
    reason = "ClusterIdentityChanged"
    found = seen(status("web@eu-1", "Held", reason), clusters={"eu-1": Trouble(reason, "another one answers")})

    (one,) = found.topics.values()
    assert (one.topic.condition, one.topic.cluster, one.topic.application) == (Condition.HELD, "eu-1", "")


def test_a_git_host_that_is_away_is_one_topic_for_all_that_comes_from_it():
    found = seen(
        status("web@eu-1", "Failed", "GitUnreachable"),
        status("api@eu-1", "Failed", "CredentialMissing"),
        status("old@eu-1"),
        repositories={REPO: Trouble("CredentialMissing", "no key")},
    )

    assert {(one.topic.reason, one.topic.repository) for one in found.topics.values()} == {
        ("GitUnreachable", REPO),
        ("CredentialMissing", REPO),
    }


def test_a_freeze_is_a_topic_with_what_it_covers_and_a_pause_is_none():
    keys = [InstanceKey.parse("web@eu-1"), InstanceKey.parse("web@us-1")]
    statuses = {key: status(str(key), "Paused", "Frozen") for key in keys}
    freeze = Brake("cluster:eu-1", "incident", "ada", NOW)
    over = Brake("all", "", "ada", NOW - timedelta(hours=2), until=NOW - timedelta(hours=1))
    found = current(statuses.items(), {}, {}, {}, [freeze, over, Brake("application:default/web", "", "ada", NOW)], NOW)

    (one,) = found.topics.values()
    assert (one.topic.condition, one.topic.cluster, one.instances) == ("Frozen", "eu-1", ("default/web@eu-1",))
    assert "incident" in one.message


def test_statuses_are_not_kept_while_a_fleet_is_sorted():
    """A hundred thousand at once would be more than a worker's child may hold."""
    given: list[weakref.ref[InstanceStatus]] = []
    most = 0

    def statuses() -> Iterator[tuple[InstanceKey, InstanceStatus]]:
        nonlocal most
        for n in range(100):
            key = InstanceKey.parse(f"web@c-{n:02}")
            one = status(str(key), "Failed", "TemplateFailed")
            given.append(weakref.ref(one))
            most = max(most, sum(ref() is not None for ref in given))
            yield key, one

    away = {"c-00": Trouble("Unreachable", "no answer")}

    found = current(statuses(), {}, away, {}, [Brake("all", "", "ada", NOW)], NOW)

    assert [len(one.instances) for one in found.topics.values()] == [1, 100, 99]
    assert most <= 2, "the one that is told, and the one that is made meanwhile"


def test_the_key_is_the_same_for_ever():
    """Receivers keep it: changing how it is made would tell everything again."""
    topic = Topic(Condition.FAILED, "TemplateFailed", "default", "web", revision="a1")

    assert topic.key == "2d5906a714d31edb4e8ffc541bfce528"
    assert topic.end_key != topic.key
