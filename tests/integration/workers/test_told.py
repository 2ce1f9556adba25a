"""What a person reads of a fleet: `status`, `app explain` and `app drift`, over a store as processes leave it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from reconciler.errors import UndriftError
from reconciler.model.brake import Brake
from reconciler.model.changeset import Drift, Result
from reconciler.model.health import Health
from reconciler.model.instance import InstanceKey
from reconciler.model.record import ObjectStatus, Phase, Sync, SyncRecord
from reconciler.model.revision import Revision
from tests import worlds
from workers import asking, braking
from workers.cli import app, status
from workers.cli import main as cli
from workers.cli.output import Format
from workers.messages import Lane, Mark, Work
from workers.store import Store, composed
from workers.store.packed import pack
from workers.tasks.recorded import from_record

API = InstanceKey("default", "api", "eu-1")
ONE, OTHER = worlds.key("one"), worlds.key("other")


def record(store: Store, *drift: Drift, commit: str = "a" * 40, phase: Phase = Phase.IDLE) -> SyncRecord:
    now = store.clock.now()
    sync = Sync.OUT_OF_SYNC if phase is Phase.FAILED else Sync.SYNCED
    objects = tuple(ObjectStatus(one.key, Sync.SYNCED, Health.HEALTHY, Result.HEALED) for one in drift)
    revision = Revision("https://git.example.com/apps.git", "main", commit)
    return SyncRecord(
        API,
        1,
        ("test",),
        now,
        now,
        sync,
        phase,
        Health.HEALTHY,
        "Healed",
        "told",
        revision,
        objects=objects,
        drift=drift,
    )


def keep(store: Store, *records: SyncRecord) -> None:
    for one in records:
        store.status.put(from_record(one, store.status.get(API)))


def test_drift_of_two_passes_is_told_of_both(store: Store, capsys: pytest.CaptureFixture[str]):
    keep(store, record(store, Drift(ONE, ".data.a", "kubectl-edit", "1", "2")))
    keep(store, record(store, Drift(OTHER, "(deleted)", "")), record(store))

    app.drift(name="api")

    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[1:4] for line in lines] == [
        ["ConfigMap", str(OTHER).split()[1], "(deleted)"],
        ["ConfigMap", str(ONE).split()[1], ".data.a"],
    ]


def test_a_commit_that_is_still_to_be_applied_makes_it_unknown_and_one_that_concerns_nothing_is_applied(store: Store):
    keep(store, record(store))
    spec = store.specs.get(API)
    assert spec is not None
    store.closures.know(API, spec.source.repo.url, ["api"])
    store.closures.advance(spec.source.repo.url, {spec.source.ref: "b" * 40}, {})
    told = composed.statuses(store)[API]
    assert (told.sync, told.applied_revision) == ("Synced", "b" * 40)

    store.closures.reopen(API, spec.source.repo.url, "c" * 40)
    store.closures.advance(spec.source.repo.url, {spec.source.ref: "c" * 40}, {})

    told = composed.statuses(store)[API]
    assert (told.sync, told.applied_revision) == ("Unknown", "a" * 40)


def test_while_all_is_frozen_nothing_is_promised(store: Store, capsys: pytest.CaptureFixture[str]):
    keep(store, record(store))
    now = store.clock.now()
    braking.put(store, Brake("all", "an incident", "ann", now), timedelta(hours=1))

    app.explain("api")
    status.status(Format.TABLE)

    out = capsys.readouterr().out
    assert "Next: nothing until" in out
    assert "Next: tried again" not in out
    assert "stopped    everything is frozen by ann" in out


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a worker had looked at the repositories: none runs here."""
    monkeypatch.setattr(asking, "look", lambda _, urls, __: iter([{"phase": "Idle"}] * len(urls)))


@pytest.mark.usefixtures("looked")
@pytest.mark.parametrize("command", ["get", "explain", "drift", "wait"])
def test_what_is_damaged_of_one_instance_keeps_no_other_from_being_told(store: Store, command: str):
    """A command for one reads nothing of the others, however many there are."""
    keep(store, record(store))
    store.due.forget(store.queued.states())
    store.redis.hset(f"{store.prefix}status", "default/web@us-1", pack(b"damaged"))

    with pytest.raises(SystemExit) as ended:
        cli.main(["app", command, "api@eu-1"])

    assert not ended.value.code


def test_the_commit_that_failed_is_named_beside_the_one_that_is_applied(
    store: Store, capsys: pytest.CaptureFixture[str]
):
    keep(store, record(store), record(store, commit="b" * 40, phase=Phase.FAILED))

    app.explain("api")

    assert "Commit aaaaaaaaaaaa is applied; the last sync, of commit bbbbbbbbbbbb, failed" in capsys.readouterr().out


def test_an_application_without_an_instance_is_explained_by_what_its_file_says(store: Store):
    note = "apps.yaml:24: Application kust: spec.clusters: selects no cluster of this fleet"
    store.fleet.note("f" * 40, [], [note])

    with pytest.raises(UndriftError, match="selects no cluster of this fleet"):
        app.explain("kust")
    with pytest.raises(UndriftError) as other:
        app.explain("kus")

    assert "selects no cluster" not in other.value.message


@pytest.mark.usefixtures("looked")
def test_a_wait_that_runs_out_of_time_says_so_and_who_is_not_there(store: Store, capsys: pytest.CaptureFixture[str]):
    keep(store, record(store))  # Synced, and its health not known
    store.due.forget(store.queued.states())
    late = store.status.get(API).model_copy(update={"health": "Progressing", "message": "1 of 2 replicas are updated"})
    store.status.put(late)

    with pytest.raises(SystemExit) as ended:
        app.wait("api", timeout=0.0)

    assert ended.value.code == 5
    assert capsys.readouterr().err == (
        "undrift: time ran out after 0 s: 1 of 1 instances are not there\n"
        "  api@eu-1: Synced Idle Progressing: 1 of 2 replicas are updated\n"
        "`undrift app explain api@eu-1` says more\n"
    )


def test_what_is_cancelled_is_not_in_sync_where_the_fleet_wants_another(store: Store):
    """Nothing else would tell it from one that was synced: the commit is the same, and nothing is due."""
    keep(store, record(store))
    repo = store.specs.sources()[API]
    store.closures.advance(repo, {store.specs.refs(repo)[API]: "a" * 40})
    store.closures.reopen(API, repo, "a" * 40)
    store.due.mark([Mark(Work("sync", str(API)), Lane.COMMIT, "fleet changed")])

    app.cancel("api@eu-1")

    found = composed.statuses(store, [API])[API]
    assert (found.sync, found.message) == ("Unknown", "cancelled: what was wanted last was not applied")


@pytest.mark.usefixtures("looked")
def test_a_wait_for_many_names_some(store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("workers.cli.looking.LATE_SHOWN", 1)

    with pytest.raises(SystemExit):
        app.wait(everything=True, timeout=0.0)

    assert capsys.readouterr().err.splitlines()[2] == "  and 2 more"


PROBLEM = "apps.yaml:7: spec.source: is missing"


@pytest.mark.parametrize("name", ["second", "second@eu-1", "default/second@eu-1"])
def test_an_application_whose_first_file_is_wrong_is_explained_by_its_problem(store: Store, name: str):
    """Whatever its file is called, and however the application is named."""
    store.fleet.note("f" * 40, ["z.yaml:1: other", PROBLEM], [], {"second": {"problems": [1], "kept": []}})

    with pytest.raises(UndriftError, match=f"\n  {PROBLEM}$"):
        app.explain(name)


def test_an_instance_says_that_its_newest_definition_was_rejected(store: Store, capsys: pytest.CaptureFixture[str]):
    store.fleet.note("f" * 40, [PROBLEM], [], {"web": {"problems": [0], "kept": ["us-1"]}})

    app.explain("web@us-1")
    told = capsys.readouterr().out
    app.explain("web@eu-1")

    assert f"newest definition was rejected, and the one before it holds:\n    {PROBLEM}\n" in told
    assert "rejected" not in capsys.readouterr().out


def test_a_phase_that_does_not_exist_is_refused(store: Store, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(UndriftError, match=r"^--phase 'failed': expected one of Paused, Held, Failed, "):
        app.list_(phase="failed")

    app.list_(chosen=Format.NAME, phase="Queued")
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_what_no_application_uses_any_more_is_not_unreadable(store: Store, capsys: pytest.CaptureFixture[str]):
    url, now = "https://git.example.com/apps.git", store.clock.now()
    store.looks.note_lookup(url, now, f"{url}: no such repository", "GitDenied")
    store.looks.note_lookup("https://git.example.com/old.git", now, "away", "GitUnreachable")

    status.status(Format.TABLE)

    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("unreadable")]
    assert told == [f"unreadable {url}: no such repository"]
