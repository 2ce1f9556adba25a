"""The task `refresh`: one look at a real repository makes due the instances that it concerns, at its newest commit."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from reconciler.fleet import expand
from reconciler.model.instance import InstanceKey
from reconciler.model.record import Memory
from reconciler.model.revision import Closure
from reconciler.model.spec import Ref
from reconciler.source import folders_read
from reconciler.testing.git import Repo
from tests.fleets import application, cluster, document, documents, fleet
from workers import wiring
from workers.cli import main as cli
from workers.cli.repo import meant
from workers.cli.selecting import NotFound
from workers.messages import Grant, Lane, Mark, Work
from workers.store import Store
from workers.tasks import refreshing

WEB, API = InstanceKey.parse("default/web@eu-1"), InstanceKey.parse("default/api@eu-1")


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    made = Repo(tmp_path / "apps.git")
    made.commit({"web/a.yaml": "kind: ConfigMap", "api/a.yaml": "kind: ConfigMap"})
    return made


@pytest.fixture
def look(store: Store, repo: Repo) -> Work:
    """The look at a repository that two applications use."""
    publish(store, *(application(name, source={"repo": repo.url, "path": name}) for name in ("web", "api")))
    return Work("refresh", repo.url)


def publish(store: Store, *applications: Mapping[str, object]) -> None:
    expansion = expand(fleet(documents(*applications, cluster("eu-1"))), previous={})
    store.fleet.publish(expansion.specs, expansion.clusters, expansion.repositories())
    for url in expansion.repositories():  # each test says for itself what waits
        store.unjudged.forget(url, expansion.specs)


def refresh(store: Store, look: Work) -> dict[str, Grant]:
    """Run the look; the syncs that are due after it."""
    store.due.mark([Mark(look, Lane.COMMIT, "periodic")])
    (grant,) = [one for one in store.due.grant(10, 5.0) if one.work == look]
    refreshing.run(look.subject, grant.fence)
    return {one.work.subject: one for one in store.due.grant(10, 5.0)}


def test_new_instances_are_due_at_the_newest_commit_by_one_look(store: Store, look: Work, repo: Repo):
    store.unjudged.add(repo.url, {WEB: "new", API: "new"})

    due = refresh(store, look)

    assert {name: (one.commit, one.reasons) for name, one in due.items()} == {
        "default/web@eu-1": (repo.head(), ("new",)),
        "default/api@eu-1": (repo.head(), ("new",)),
    }
    assert store.unjudged.at(repo.url) == {}
    assert refresh(store, look) == {}


def test_a_changed_spec_is_due_though_the_commit_is_the_same(store: Store, look: Work, repo: Repo):
    store.closures.reopen(WEB, repo.url, repo.head())
    store.closures.reopen(API, repo.url, repo.head())
    store.unjudged.add(repo.url, {WEB: "fleet changed"})

    assert {name: one.reasons for name, one in refresh(store, look).items()} == {"default/web@eu-1": ("fleet changed",)}


def test_an_instance_of_which_nothing_is_known_is_left_to_the_scan(store: Store, look: Work, repo: Repo):
    assert refresh(store, look) == {}
    # So that its sync need not ask the Git host, nor those of all others.
    assert store.closures.heads_of(repo.url) == {Ref(branch="main"): repo.head()}


def test_a_host_that_is_away_is_told_by_each_instance_itself(store: Store, look: Work, repo: Repo):
    store.unjudged.add(repo.url, {WEB: "new"})
    repo.path.rename(repo.path.with_name("moved.git"))

    due = refresh(store, look)

    assert {name: (one.commit, one.reasons) for name, one in due.items()} == {"default/web@eu-1": ("", ("new",))}
    assert store.looks.lookups()[repo.url]["reason"] == "GitDenied"


def test_a_missing_branch_is_told_by_those_that_name_it(store: Store, look: Work, repo: Repo):
    publish(store, application("web", source={"repo": repo.url, "path": "web", "ref": "gone"}))
    store.unjudged.add(repo.url, {WEB: "new"})

    assert {name: one.reasons for name, one in refresh(store, look).items()} == {
        "default/web@eu-1": ("its ref is missing",)
    }


def synced(store: Store, repo: Repo, *keys: InstanceKey) -> None:
    """As a sync leaves them that rendered the folder of their name at the newest commit."""
    specs = store.specs.many(keys)
    with wiring.rooms().source.tree(specs[keys[0]].source.repo, repo.head()) as tree:
        for key in keys:
            folder = tree.entry(key.application)
            assert folder is not None
            closure = Closure({f"{key.application}/": folder.oid})
            store.memories.put(key, Memory(closure=closure))
            store.closures.know(key, repo.url, folders_read(closure))


@pytest.fixture
def known(store: Store, look: Work, repo: Repo) -> Work:
    """Both applications were looked at and synced."""
    store.unjudged.add(repo.url, {WEB: "new", API: "new"})
    refresh(store, look)
    synced(store, repo, WEB, API)
    for key in (WEB, API):
        done(store, key)
    return look


def done(store: Store, key: InstanceKey) -> None:
    """Its sync was carried out."""
    store.due.forget([Work("sync", str(key))])
    store.redis.delete(f"{store.prefix}lease:sync {key}")


def test_only_what_reads_in_a_changed_folder_is_due(store: Store, known: Work, repo: Repo):
    repo.commit({"web/a.yaml": "kind: Secret", "README.md": "words"})

    assert {name: (one.commit, one.reasons) for name, one in refresh(store, known).items()} == {
        "default/web@eu-1": (repo.head(), (f"commit {repo.head()[:7]}",))
    }
    assert store.closures.open(repo.url) == {WEB: repo.head()}
    assert refresh(store, known) == {}, "the same commit makes it due once"


def test_what_waits_to_be_synced_is_due_by_every_later_commit(store: Store, known: Work, repo: Repo):
    """Its render at the commit between is not known: what it reads may be what the next one changes."""
    repo.commit({"web/a.yaml": "kind: Secret"})
    refresh(store, known)
    done(store, WEB)
    repo.commit({"README.md": "words"})

    assert refresh(store, known).keys() == {"default/web@eu-1"}


def test_a_lost_index_is_made_anew_by_a_look_at_everything(store: Store, known: Work, repo: Repo):
    for name in store.redis.keys(f"{store.prefix}readers:*"):
        store.redis.delete(name)
    store.redis.delete(*store.redis.keys(f"{store.prefix}whole:*"))
    repo.commit({"web/a.yaml": "kind: Secret"})

    assert refresh(store, known).keys() == {"default/web@eu-1"}
    assert store.closures.reading(repo.url, ["api"]) == {API}
    assert store.closures.is_whole(repo.url)


def test_the_head_of_a_ref_that_nobody_names_goes_with_a_look_at_everything(store: Store, known: Work, repo: Repo):
    repo.commit({"a.yaml": "kind: ConfigMap"}, branch="once")
    store.closures.advance(repo.url, {Ref(branch="once"): "a" * 40})
    refresh(store, known)
    assert Ref(branch="once") in store.closures.heads_of(repo.url)

    store.redis.delete(*store.redis.keys("undrift:whole:*"))
    refresh(store, known)

    assert store.closures.heads_of(repo.url) == {Ref(branch="main"): repo.head()}


def test_a_lost_head_is_found_again_by_a_look_at_everything(store: Store, known: Work, repo: Repo):
    store.redis.delete(f"{store.prefix}judged", *store.redis.keys(f"{store.prefix}whole:*"))
    repo.commit({"api/a.yaml": "kind: Secret"})

    assert refresh(store, known).keys() == {"default/api@eu-1"}


def _write_over_an_open_one(store: Store, url: str) -> None:
    store.redis.hset(store.closures._open(url), "no instance at all", "")


def _write_over_a_reader(store: Store, url: str) -> None:
    store.redis.delete(store.closures._readers(url, "web"))
    store.redis.sadd(store.closures._readers(url, "web"), b"\xff\xfe")


def _write_over_a_head(store: Store, url: str) -> None:
    for field in store.redis.hkeys(f"{store.prefix}judged"):  # type: ignore[union-attr]  # not the asynchronous client
        store.redis.hset(f"{store.prefix}judged", field, "not a commit")


def _write_over_a_ref(store: Store, url: str) -> None:
    store.redis.hset(f"{store.prefix}judged", f"{url}\n{{not a ref", "f" * 40)


@pytest.mark.parametrize(
    "write_over",
    [_write_over_an_open_one, _write_over_a_reader, _write_over_a_head, _write_over_a_ref],
    ids=lambda one: one.__name__.strip("_"),
)
def test_a_corrupt_index_is_made_anew(store: Store, known: Work, repo: Repo, write_over: Callable[[Store, str], None]):
    write_over(store, repo.url)
    repo.commit({"web/a.yaml": "kind: Secret"})

    due = refresh(store, known).keys() | refresh(store, known).keys()

    assert due == {"default/web@eu-1"}
    assert store.closures.reading(repo.url, ["api"]) == {API}
    assert list(store.closures.heads_of(repo.url).values()) == [repo.head()]
    assert all(key in (WEB, API) for key in store.closures.open(repo.url))
    assert store.closures.is_whole(repo.url)


def test_a_stale_entry_of_the_index_makes_nothing_due_and_goes(store: Store, known: Work, repo: Repo):
    store.closures.know(API, repo.url, ["web"])
    repo.commit({"web/a.yaml": "kind: Secret"})

    assert refresh(store, known).keys() == {"default/web@eu-1"}
    assert store.closures.reading(repo.url, ["web"]) == {WEB}


def test_a_repository_that_was_rewritten_in_place_is_looked_at_whole(store: Store, known: Work, repo: Repo):
    """The commit of before is on no branch any more, and the mirror was made anew: no diff leads from there to here."""
    shutil.rmtree(repo.path)
    again = Repo(repo.path)
    again.commit({"web/a.yaml": "kind: ConfigMap", "api/a.yaml": "kind: Other"}, "another history")
    for mirror in (wiring.settings().home / "mirrors").glob("*.git"):
        shutil.rmtree(mirror)
    wiring.rooms.cache_clear()

    assert refresh(store, known).keys() == {"default/api@eu-1"}
    assert store.closures.heads_of(repo.url) == {Ref(branch="main"): again.head()}


def test_a_branch_that_went_is_told_once_by_those_that_name_it(store: Store, known: Work, repo: Repo):
    subprocess.run(["git", "-C", repo.path, "branch", "-m", "main", "trunk"], check=True)

    assert {name: one.reasons for name, one in refresh(store, known).items()} == {
        "default/web@eu-1": ("its ref is missing",),
        "default/api@eu-1": ("its ref is missing",),
    }
    assert store.closures.heads_of(repo.url) == {}, "no sync takes the last commit of a ref that went for the newest"
    for key in (WEB, API):
        store.status.put(store.status.get(key).model_copy(update={"reason": "RefNotFound"}))
        done(store, key)
    assert refresh(store, known) == {}


def test_what_moves_to_another_repository_is_not_looked_for_in_the_old_one(
    store: Store, known: Work, repo: Repo, tmp_path: Path
):
    other = Repo(tmp_path / "other.git")
    other.commit({"web/a.yaml": "kind: ConfigMap"})
    publish(
        store,
        application("web", source={"repo": other.url, "path": "web"}),
        application("api", source={"repo": repo.url, "path": "api"}),
    )
    repo.commit({"web/a.yaml": "kind: Secret"})

    assert refresh(store, known) == {}


def test_who_waits_for_a_look_and_is_not_served_by_it_waits_on(store: Store, look: Work, repo: Repo):
    """It moved to another repository, or is not published to use this one yet: the scheduler tells which."""
    stranger = InstanceKey.parse("default/moved@eu-1")
    store.unjudged.add(repo.url, {WEB: "new", stranger: "new"})

    assert refresh(store, look).keys() == {"default/web@eu-1"}
    assert store.unjudged.at(repo.url) == {stranger: "new"}


class Busy(BaseHTTPRequestHandler):
    """A Git host that wants to be left be."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(429)
        self.send_header("Retry-After", "120")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        return None


def test_a_host_that_asks_for_time_gets_it_for_all_its_repositories(store: Store):
    Busy.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Busy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{server.server_port}"
        looks = [Work("refresh", f"{base}/{name}.git") for name in ("web", "api")]
        publish(
            store, *(application(name, source={"repo": f"{base}/{name}.git", "path": "."}) for name in ("web", "api"))
        )

        refresh(store, looks[0])
        store.due.mark([Mark(looks[1], Lane.COMMIT, "periodic")])
        assert looks[1] not in {one.work for one in store.due.grant(10, 5.0)}
        server.shutdown()

    assert len(Busy.asked) == 1, "the second repository was not asked for at all"
    assert store.looks.lookups()[looks[0].subject]["reason"] == "GitBusy"
    assert "come back in 120 s (429)" in store.looks.lookups()[looks[0].subject]["error"]
    assert store.queued.shut_until()[looks[1].destination] > store.due.now_ms() + 100_000

    store.due.mark([Mark(looks[1], Lane.OPERATOR, "operator")])
    assert looks[1] in {one.work for one in store.due.grant(10, 5.0)}, "a person's wish is tried all the same"


def ran(store: Store, look: Work, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What `repo refresh` says while a worker carries out its look."""

    def run() -> None:
        with contextlib.suppress(SystemExit):
            cli.main(["repo", "refresh", *words])

    command = threading.Thread(target=run)
    command.start()
    grants: list[Grant] = []
    while not grants:
        store.due.wait(5)
        grants = [one for one in store.due.grant(10, 5.0) if one.work == look]
    refreshing.run(look.subject, grants[0].fence)
    command.join(30)
    return capsys.readouterr().out.splitlines()[-1]


def test_repo_refresh_says_what_a_look_found(store: Store, look: Work, repo: Repo, capsys: pytest.CaptureFixture[str]):
    store.unjudged.add(repo.url, {WEB: "new", API: "new"})

    assert ran(store, look, capsys, look.subject) == f"{repo.url}: 2 instances to sync, 2 looked at"
    assert ran(store, look, capsys, "--all") == f"{repo.url}: 0 instances to sync, 0 looked at"


@pytest.fixture
def shared(store: Store, repo: Repo) -> dict[str, Work]:
    """The looks at one repository for two projects with different limits."""
    return publish_shared(store, repo)


def publish_shared(store: Store, repo: Repo) -> dict[str, Work]:
    rules = {"repos": [repo.url], "clusters": {"names": ["*"]}, "namespaces": ["*"]}
    publish(
        store,
        document("Project", "shop", **rules),
        document("Repository", "small", url=repo.url, project="shop", limits={"objects": 1}),
        application("web", source={"repo": repo.url, "path": "web"}),
        application("api", source={"repo": repo.url, "path": "api"}, project="shop"),
    )
    return {name: Work("refresh", f"{repo.url} ({name})") for name in ("default", "shop")}


SHOP = InstanceKey.parse("shop/api@eu-1")


def test_projects_that_reach_one_repository_in_different_ways_share_no_look(
    store: Store, shared: dict[str, Work], repo: Repo
):
    """Before, one look served both, by the access of the one who looks more often: its credentials, limits and errors."""
    store.unjudged.add(shared["default"].subject, {WEB: "new"})
    store.unjudged.add(shared["shop"].subject, {SHOP: "new"})

    due = refresh(store, shared["default"])

    assert {name: one.commit for name, one in due.items()} == {"default/web@eu-1": repo.head()}
    assert store.unjudged.at(shared["default"].subject) == {}
    assert store.unjudged.at(shared["shop"].subject) == {SHOP: "new"}
    assert store.closures.heads_of(shared["default"].subject) == {Ref(branch="main"): repo.head()}
    assert store.closures.heads_of(shared["shop"].subject) == {}
    assert refresh(store, shared["shop"])["shop/api@eu-1"].commit == repo.head()
    assert store.looks.lookups().keys() == {one.subject for one in shared.values()}


def test_a_project_that_comes_to_reach_it_otherwise_leaves_the_others_as_they_were(
    store: Store, look: Work, repo: Repo
):
    store.closures.know(WEB, repo.url, ["web"])
    before = dict(store.specs.known())

    publish_shared(store, repo)

    assert store.specs.known()[WEB].digest == before[WEB].digest
    sources = store.specs.sources()
    assert [sources[key] for key in (WEB, SHOP)] == [f"{repo.url} (default)", f"{repo.url} (shop)"]
    assert store.specs.get(WEB).source.repo.subject == f"{repo.url} (default)"
    refresh(store, look)  # one that was under way still: nobody is served by it any more
    assert store.closures.heads_of(repo.url) == {}


def test_a_url_means_all_looks_at_it_and_a_name_one_of_them(
    store: Store, shared: dict[str, Work], repo: Repo, capsys: pytest.CaptureFixture[str]
):
    known = store.specs.repositories()

    assert meant(repo.url, known) == [one.subject for one in shared.values()]
    assert meant(shared["shop"].subject, known) == [shared["shop"].subject]
    with pytest.raises(NotFound, match="no application uses 'elsewhere'; the fleet has"):
        meant("elsewhere", known)
    with contextlib.suppress(SystemExit):
        cli.main(["repo", "list", "-o", "name"])
    assert capsys.readouterr().out.splitlines() == [one.subject for one in shared.values()]


def test_repo_refresh_says_why_a_repository_could_not_be_looked_at(
    store: Store, look: Work, repo: Repo, capsys: pytest.CaptureFixture[str]
):
    shutil.rmtree(repo.path)

    assert ran(store, look, capsys, look.subject).startswith(f"{repo.url}: GitDenied: ")
