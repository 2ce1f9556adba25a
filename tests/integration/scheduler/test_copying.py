"""The journal's copy in a repository of its own: over HTTP and on disk, never forced, and what begins again from it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from dulwich.repo import Repo as GitRepo

from reconciler.clock import ManualClock
from reconciler.credentials import Credentials
from reconciler.errors import GitDenied, JournalBroken
from reconciler.journal import Journal
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

    with pytest.raises(JournalBroken, match="its copy can't be read"):
        copy(running, f"file://{tmp_path}/nowhere.git", fresh).restore()
    assert not fresh.exists


def test_another_journals_copy_is_left_as_it_is(running: Site, remote: Path) -> None:
    other = journal(running, "another.git")
    other.append([{"kind": "brake", "subject": "all"}], {})
    copy(running, f"file://{remote}", other).push()
    before = Journal(remote, ManualClock()).head()

    with pytest.raises(JournalBroken, match="not in this journal"):
        copy(running, f"file://{remote}", written(running)).push()

    assert Journal(remote, ManualClock()).head() == before
