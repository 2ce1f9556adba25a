"""The journal's copy in a repository of its own: over HTTP and on disk, never forced, and what begins again from it."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

import pytest
from dulwich.objects import ObjectID
from dulwich.repo import Repo as GitRepo

from reconciler.clock import ManualClock
from reconciler.credentials import Credentials
from reconciler.errors import GitDenied, JournalBroken
from reconciler.journal import Journal
from reconciler.journal.chain import BRANCH
from reconciler.model.brake import Brake
from reconciler.model.spec import CredentialRef, RepositoryAccess, RepositoryCredentials
from reconciler.testing.git import GitServer
from tests.integration.scheduler.test_loop import Site
from tests.integration.scheduler.test_loop import running as running
from tests.integration.scheduler.test_loop import site as site
from workers import braking
from workers.copying import JournalCopy
from workers.scheduler.records import Records


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    path = tmp_path / "copies" / "journal.git"
    path.mkdir(parents=True)
    GitRepo.init_bare(str(path)).close()
    return path


def journal(site: Site, name: str = "journal.git") -> Journal:
    return Journal(site.folder.parent / name, ManualClock())


def copy(site: Site, url: str, of: Journal, env: dict[str, str] | None = None) -> JournalCopy:
    credentials = RepositoryCredentials(token=CredentialRef(env="UNDRIFT_CRED_JOURNAL")) if env else None
    access = RepositoryAccess(url=url, credentials=credentials or RepositoryCredentials())
    return JournalCopy(of, access, Credentials(env or {}, None), site.store)


def written(site: Site) -> Journal:
    braking.put(site.store, Brake("all", "incident", "ada", site.clock.now()), None)
    site.clock.advance(1)
    site.turn()
    return journal(site)


def test_what_the_journal_has_the_copy_has(running: Site, remote: Path) -> None:
    own = written(running)
    copying = copy(running, f"file://{remote}", own)

    copying.push()
    braking.lift(running.store, "all", by="ada", reason="solved")
    running.clock.advance(1)
    running.turn()
    copying.push()

    theirs = Journal(remote, ManualClock())
    assert list(theirs.entries()) == list(own.entries())
    assert len(list(theirs.entries())) == 2
    assert theirs.verify(own.head()).problem == ""
    assert running.store.outbox.copy() == {"head": own.head(), "problem": ""}


def test_it_is_pushed_over_http_with_its_own_login(running: Site, remote: Path) -> None:
    own = written(running)
    with GitServer(remote.parent, login=("", "secret")) as server:
        url = server.url("journal.git")
        with pytest.raises(GitDenied):
            copy(running, url, own).push()
        copy(running, url, own, {"UNDRIFT_CRED_JOURNAL": "secret"}).push()

    assert Journal(remote, ManualClock()).head() == own.head()


def test_a_journal_that_was_lost_begins_again_from_its_copy(running: Site, remote: Path) -> None:
    own = written(running)
    copying = copy(running, f"file://{remote}", own)
    copying.push()
    before = list(own.entries())
    shutil.rmtree(own.path)
    running.store.redis.flushall()

    Records(running.store, own, copying).restore()

    assert list(own.entries()) == before
    assert running.store.brakes.all()["all"].by == "ada"


def test_an_empty_copy_is_no_journal(running: Site, remote: Path) -> None:
    fresh = journal(running, "another.git")

    copy(running, f"file://{remote}", fresh).restore()

    assert not fresh.exists


def test_what_was_decided_is_not_guessed_while_the_copy_is_away(running: Site, tmp_path: Path) -> None:
    fresh = journal(running, "another.git")

    with pytest.raises(JournalBroken, match="the journal's copy can't be read"):
        copy(running, f"file://{tmp_path}/nowhere.git", fresh).restore()
    assert not fresh.exists


def pushed(copying: JournalCopy) -> None:
    """Wait for the push that the last turn began."""
    assert copying._thread is not None
    copying._thread.join(30)


def elsewhere(site: Site, url: str) -> tuple[Journal, JournalCopy]:
    """The journal of a scheduler on another machine, which knows the same copy."""
    other = journal(site, "elsewhere.git")
    return other, copy(site, url, other)


def test_a_freeze_journalled_on_one_machine_is_known_to_another_after_a_loss_of_redis(
    running: Site, remote: Path
) -> None:
    """Both have a journal of their own; the second one led before, so its journal is old, not gone."""
    other, theirs = elsewhere(running, f"file://{remote}")
    other.append([{"id": "1", "kind": "note", "subject": "all"}], {})
    theirs.push()
    own = journal(running)
    copying = copy(running, f"file://{remote}", own)
    records = Records(running.store, own, copying)
    braking.put(running.store, Brake("all", "incident", "ada", running.clock.now()), None)
    running.store.outbox.note_head(str(other.head()))
    records.tend()
    pushed(copying)
    assert own.head() != other.head()
    running.store.redis.flushall()

    Records(running.store, other, theirs).restore()

    assert other.head() == own.head()
    assert running.store.brakes.all()["all"].by == "ada"


def test_without_the_copy_an_emptied_redis_grants_nothing_and_says_why(running: Site, tmp_path: Path) -> None:
    """Its own journal is whole, but another machine's scheduler may have noted a freeze since."""
    own = written(running)
    running.store.redis.flushall()
    records = Records(running.store, own, copy(running, f"file://{tmp_path}/nowhere.git", own))
    running.scheduler._records = records

    for _ in range(3):
        running.clock.advance(60)
        assert running.turn() == []

    (said,) = [one for one in running.store.events.last(10) if one.reason == "JournalBroken"]
    assert "nothing is granted: Redis was emptied, and the journal's copy can't be read" in said.message


def test_what_another_machine_wrote_is_awaited_before_anything_is_added(running: Site, remote: Path) -> None:
    other, theirs = elsewhere(running, f"file://{remote}")
    own = written(running)
    copying = copy(running, f"file://{remote}", own)
    copying.push()
    theirs.restore()
    newest = other.append([{"id": "2", "kind": "note", "subject": "all"}], {})
    running.store.outbox.note_head(newest)
    records = Records(running.store, own, copying)
    braking.put(running.store, Brake("all", "incident", "bob", running.clock.now()), None)
    waiting = running.store.outbox.length()

    records.tend()
    assert (running.store.outbox.length(), own.has(newest)) == (waiting, False)
    theirs.push()
    running.clock.advance(5)
    records.tend()

    assert running.store.outbox.length() == 0
    assert own.has(newest)
    pushed(copying)
    assert Journal(remote, ManualClock()).head() == own.head()


def test_a_scheduler_that_stands_by_pushes_what_it_wrote_and_nothing_that_is_old(running: Site, remote: Path) -> None:
    own = written(running)
    copying = copy(running, f"file://{remote}", own)
    records = Records(running.store, own, copying)

    records.stand_by()
    pushed(copying)
    assert Journal(remote, ManualClock()).head() == own.head()
    copying._thread = None
    running.store.outbox.note_head("0" * 40)
    own.append([{"id": "2", "kind": "note", "subject": "all"}], {})
    running.clock.advance(30)
    records.stand_by()

    assert copying._thread is None


def test_what_a_dead_machine_never_pushed_is_given_up_and_said(running: Site, remote: Path) -> None:
    own = written(running)
    copying = copy(running, f"file://{remote}", own)
    copying.push()
    running.store.outbox.note_head("0" * 40)
    records = Records(running.store, own, copying)
    braking.put(running.store, Brake("all", "incident", "bob", running.clock.now()), None)

    records.tend()
    running.clock.advance(120)
    records.tend()

    assert running.store.outbox.length() == 0
    assert [one.reason for one in running.store.events.last(10)].count("JournalGap") == 1


def test_two_chains_are_not_made_one(running: Site, remote: Path) -> None:
    other, theirs = elsewhere(running, f"file://{remote}")
    other.append([{"id": "2", "kind": "note", "subject": "all"}], {})
    theirs.push()
    own = written(running)
    before = own.head()

    for _ in range(2):  # what was fetched the first time makes it no part of this journal
        with pytest.raises(JournalBroken, match="each have what the other lacks"):
            copy(running, f"file://{remote}", own).restore()
    with pytest.raises(JournalBroken, match="not in this journal"):
        copy(running, f"file://{remote}", own).push()

    assert own.head() == before
    assert Journal(remote, ManualClock()).head() == other.head()


def test_a_journal_that_is_ahead_of_its_copy_stays_as_it_is(running: Site, remote: Path) -> None:
    own = written(running)
    copying = copy(running, f"file://{remote}", own)
    copying.push()
    head = own.append([{"id": "2", "kind": "note", "subject": "all"}], {})

    copying.restore()

    assert own.head() == head


def test_without_a_copy_a_journal_on_another_machine_is_said_once(running: Site) -> None:
    own = written(running)
    running.store.outbox.note_head("0" * 40)
    records = Records(running.store, own)

    for name in ("ada", "bob"):
        running.clock.advance(2)
        braking.put(running.store, Brake("all", "incident", name, running.clock.now()), None)
        records.tend()
        running.store.outbox.note_head("0" * 40)

    told = [one for one in running.store.events.last(10) if one.reason == "JournalElsewhere"]
    assert len(told) == 1
    assert "UNDRIFT_JOURNAL_REPO" in told[0].message
    gaps = [one for one in own.entries() if one["kind"] == "gap"]
    assert [one["id"] for one in gaps] == ["0" * 40], "kept where what is missing would have been"


def test_entries_that_were_cut_away_leave_a_gap_that_later_ones_do_not_hide(running: Site) -> None:
    own = written(running)
    records = Records(running.store, own)

    def decide(name: str) -> None:
        running.clock.advance(2)
        braking.put(running.store, Brake("all", "incident", name, running.clock.now()), None)
        records.tend()

    decide("ada")
    before = str(own.head())
    decide("bob")
    cut = str(own.head())
    with closing(GitRepo(str(own.path))) as repo:
        repo.refs[BRANCH] = ObjectID(before.encode())

    decide("cyd")

    (gap,) = [one for one in own.entries() if one["kind"] == "gap"]
    assert gap["id"] == cut
    assert not any("bob" in str(one) for one in own.entries())


def test_another_journals_copy_is_left_as_it_is(running: Site, remote: Path) -> None:
    other = journal(running, "another.git")
    other.append([{"kind": "brake", "subject": "all"}], {})
    copy(running, f"file://{remote}", other).push()
    before = Journal(remote, ManualClock()).head()

    with pytest.raises(JournalBroken, match="not in this journal"):
        copy(running, f"file://{remote}", written(running)).push()

    assert Journal(remote, ManualClock()).head() == before
