"""The source room against real Git servers: HTTP, SSH and files."""

from __future__ import annotations

import contextlib
import random
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from dulwich.repo import Repo as DulwichRepo

from reconciler.clock import SystemClock
from reconciler.credentials import Credentials
from reconciler.errors import GitDenied, GitUnreachable, MirrorBroken, PathNotFound, RefNotFound, SourceTooLarge
from reconciler.model.spec import (
    CredentialRef,
    Ref,
    RepositoryAccess,
    RepositoryCredentials,
    RepositoryLimits,
    Source,
)
from reconciler.source import SourceRoom, remote
from reconciler.source.remote import shown
from reconciler.testing.git import GitServer, Repo, SshGitServer

ENV = {"UNDRIFT_CRED_TOKEN": "s3cret-token", "UNDRIFT_CRED_PASSWORD": "hunter2-hunter2"}


@pytest.fixture
def room(tmp_path: Path) -> SourceRoom:
    return SourceRoom(tmp_path / "mirrors", Credentials(ENV, tmp_path), SystemClock())


def access(url: str, **given: object) -> RepositoryAccess:
    return RepositoryAccess(url=url, **given)  # type: ignore[arg-type]  # each test gives what it is about


def read(room: SourceRoom, found: RepositoryAccess, path: str, *, ref: Ref | None = None, folder: str = ".") -> bytes:
    with room.checkout(Source(repo=found, ref=ref or Ref(branch="main"), path=folder)) as checkout:
        return checkout.tree.read(path)


def test_a_branch_is_read_over_http(room: SourceRoom, git_server: GitServer, git_repo: Repo) -> None:
    git_repo.commit({"web/a.yaml": "one"})

    assert read(room, access(git_server.url("apps.git")), "web/a.yaml") == b"one"


def test_a_branch_is_read_from_a_folder(room: SourceRoom, git_repo: Repo) -> None:
    git_repo.commit({"a.yaml": "one"})

    assert read(room, access(git_repo.url), "a.yaml") == b"one"


def test_a_branch_is_read_over_ssh_with_key_and_known_host(
    room: SourceRoom, ssh_git_server: SshGitServer, git_repo: Repo, tmp_path: Path
) -> None:
    git_repo.commit({"a.yaml": "one"})

    assert read(room, ssh_access(ssh_git_server, tmp_path), "a.yaml") == b"one"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a folder has to do")
def test_no_ssh_key_is_on_disk_at_any_time(
    ssh_git_server: SshGitServer, git_repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A worker that is killed while it waits for a host can't clean up after itself."""
    git_repo.commit({"a.yaml": "one"})
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    found = ssh_access(ssh_git_server, tmp_path)

    with remote.opened(found, Credentials({}, tmp_path)) as opened:
        refs = opened.client.get_refs(opened.path.encode()).refs
        left = list(scratch.rglob("*"))

    assert b"refs/heads/main" in refs
    assert left == []


def ssh_access(server: SshGitServer, folder: Path) -> RepositoryAccess:
    (folder / "key").write_text(server.private_key)
    (folder / "known_hosts").write_text(server.known_hosts)
    credentials = RepositoryCredentials(
        ssh_key=CredentialRef(file="key"), known_hosts=CredentialRef(file="known_hosts")
    )
    return access(server.url("apps.git"), credentials=credentials)


def test_a_changed_host_key_is_refused(
    room: SourceRoom, ssh_git_server: SshGitServer, git_repo: Repo, tmp_path: Path
) -> None:
    git_repo.commit({"a.yaml": "one"})
    found = ssh_access(ssh_git_server, tmp_path)
    ssh_git_server.change_host_key()

    with pytest.raises(GitDenied, match="host key"):
        room.refs(found)


def test_a_key_that_is_not_known_is_refused(
    room: SourceRoom, ssh_git_server: SshGitServer, git_repo: Repo, tmp_path: Path
) -> None:
    found = ssh_access(ssh_git_server, tmp_path)
    with SshGitServer(git_repo.path.parent) as other:
        (tmp_path / "key").write_text(other.private_key)

    with pytest.raises(GitDenied, match="key is refused"):
        room.refs(found)


def test_tags_are_peeled_and_commits_need_no_ref(room: SourceRoom, git_server: GitServer, git_repo: Repo) -> None:
    first = git_repo.commit({"a.yaml": "one"})
    git_repo.tag("v1", first, annotated=True)
    git_repo.commit({"a.yaml": "two"})
    found = access(git_server.url("apps.git"))

    assert read(room, found, "a.yaml", ref=Ref(tag="v1")) == b"one"
    assert read(room, found, "a.yaml", ref=Ref(commit=first)) == b"one"
    assert read(room, access(git_repo.url), "a.yaml", ref=Ref(tag="v1")) == b"one"


class Places:
    """Counts who fetches."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.inside = 0

    @contextlib.contextmanager
    def to(self, url: str) -> Iterator[None]:
        self.asked.append(url)
        self.inside += 1
        yield
        self.inside -= 1


def test_who_fetches_holds_a_place_at_the_host_and_who_has_it_all_asks_for_none(
    git_server: GitServer, git_repo: Repo, tmp_path: Path
) -> None:
    places = Places()
    room = SourceRoom(tmp_path / "mirrors", Credentials({}, None), SystemClock(), visits=places)
    found, commit = access(git_server.url("apps.git")), git_repo.commit({"a.yaml": "one"})

    room.refs(found)
    assert places.asked == [], "a look-up is bounded by the queue"
    room.fetch(found, [commit])
    room.fetch(found, [commit])

    assert (places.asked, places.inside) == ([found.url], 0)


def test_a_force_push_is_followed_and_the_old_commit_stays_readable(
    room: SourceRoom, git_server: GitServer, git_repo: Repo
) -> None:
    first = git_repo.commit({"a.yaml": "one"})
    second = git_repo.commit({"a.yaml": "two"})
    found = access(git_server.url("apps.git"))
    assert read(room, found, "a.yaml") == b"two"

    git_repo.reset(git_repo.commit({"a.yaml": "three"}, parent=first))

    assert read(room, found, "a.yaml") == b"three"
    assert read(room, found, "a.yaml", ref=Ref(commit=second)) == b"two"


def test_a_commit_in_the_mirror_needs_no_git_host(room: SourceRoom, git_root: Path, git_repo: Repo) -> None:
    commit = git_repo.commit({"a.yaml": "one"})
    with GitServer(git_root) as server:
        found = access(server.url("apps.git"))
        read(room, found, "a.yaml")

    assert read(room, found, "a.yaml", ref=Ref(commit=commit)) == b"one"


def test_what_is_there_is_not_fetched_again(room: SourceRoom, git_server: GitServer, git_repo: Repo) -> None:
    commit = git_repo.commit({"a.yaml": "one"})
    found = access(git_server.url("apps.git"))
    read(room, found, "a.yaml")
    before = git_server.requests

    read(room, found, "a.yaml", ref=Ref(commit=commit))

    assert git_server.requests == before


@pytest.mark.parametrize(
    ("login", "credentials"),
    [
        (("", ENV["UNDRIFT_CRED_TOKEN"]), RepositoryCredentials(token=CredentialRef(env="UNDRIFT_CRED_TOKEN"))),
        (
            ("ci", ENV["UNDRIFT_CRED_PASSWORD"]),
            RepositoryCredentials(username="ci", password=CredentialRef(env="UNDRIFT_CRED_PASSWORD")),
        ),
    ],
    ids=["token", "basic"],
)
def test_credentials_log_in(
    room: SourceRoom, git_server: GitServer, git_repo: Repo, login: tuple[str, str], credentials: RepositoryCredentials
) -> None:
    git_repo.commit({"a.yaml": "one"})
    git_server.login = login

    assert read(room, access(git_server.url("apps.git"), credentials=credentials), "a.yaml") == b"one"


def test_wrong_credentials_are_denied_without_showing_them(
    room: SourceRoom, git_server: GitServer, git_repo: Repo
) -> None:
    git_repo.commit({"a.yaml": "one"})
    git_server.login = ("ci", "another")
    credentials = RepositoryCredentials(username="ci", password=CredentialRef(env="UNDRIFT_CRED_PASSWORD"))

    with pytest.raises(GitDenied) as denied:
        room.refs(access(git_server.url("apps.git"), credentials=credentials))

    assert ENV["UNDRIFT_CRED_PASSWORD"] not in denied.value.message


@pytest.mark.parametrize(
    ("fault", "error"),
    [("403", GitDenied), ("404", GitDenied), ("500", GitUnreachable), ("garbage", GitUnreachable)],
)
def test_a_host_that_misbehaves_is_named(
    room: SourceRoom, git_server: GitServer, git_repo: Repo, fault: str, error: type[Exception]
) -> None:
    git_repo.commit({"a.yaml": "one"})
    git_server.fault = fault

    with pytest.raises(error, match=f"127.0.0.1:{git_server.port}"):
        room.refs(access(git_server.url("apps.git")))


def test_a_host_that_is_away_is_unreachable(room: SourceRoom, git_root: Path, git_repo: Repo) -> None:
    with GitServer(git_root) as server:
        url = server.url("apps.git")

    with pytest.raises(GitUnreachable, match=r"127\.0\.0\.1"):
        room.refs(access(url))


def test_a_folder_that_is_no_repository_is_told_as_a_folder(room: SourceRoom, tmp_path: Path) -> None:
    """Nobody looks for credentials there."""
    (tmp_path / "plain").mkdir()

    for name, says in (("nope.git", "there is no such folder on this machine"), ("plain", "is no Git repository")):
        with pytest.raises(GitDenied, match=rf"{name}: (this folder )?{says}$"):
            room.refs(access((tmp_path / name).as_uri()))


def test_a_name_that_nobody_knows_is_told_without_words_of_the_client(room: SourceRoom) -> None:
    with pytest.raises(GitUnreachable) as away:
        room.refs(access("https://git.undrift.invalid/apps.git"))

    assert away.value.message.endswith("the Git host can't be reached: its name can't be resolved")


def test_a_port_where_nobody_listens_is_told_without_words_of_the_client(room: SourceRoom) -> None:
    with pytest.raises(GitUnreachable, match="the Git host can't be reached: Failed to establish a new connection"):
        room.refs(access("https://127.0.0.1:1/apps.git"))


def test_a_redirect_to_another_host_carries_no_credentials(
    room: SourceRoom, git_server: GitServer, git_root: Path, git_repo: Repo
) -> None:
    git_repo.commit({"a.yaml": "one"})
    credentials = RepositoryCredentials(token=CredentialRef(env="UNDRIFT_CRED_TOKEN"))
    with GitServer(git_root) as other:
        git_server.fault = f"http://localhost:{other.port}"

        with pytest.raises(GitDenied, match="another host"):
            room.refs(access(git_server.url("apps.git"), credentials=credentials))

        assert other.requests == 0


def test_a_missing_ref_names_those_that_are_near(room: SourceRoom, git_server: GitServer, git_repo: Repo) -> None:
    git_repo.commit({"a.yaml": "one"})

    with pytest.raises(RefNotFound, match="no branch mian; there are main"):
        room.resolve(access(git_server.url("apps.git")), Ref(branch="mian"))


def test_a_commit_that_the_host_does_not_have_is_not_found(
    room: SourceRoom, git_server: GitServer, git_repo: Repo
) -> None:
    git_repo.commit({"a.yaml": "one"})

    with pytest.raises((RefNotFound, GitUnreachable)):
        read(room, access(git_server.url("apps.git")), "a.yaml", ref=Ref(commit="1" * 40))


@pytest.mark.parametrize("folder", ["nope", "../up", "a.yaml"])
def test_a_missing_folder_is_named(room: SourceRoom, git_repo: Repo, folder: str) -> None:
    git_repo.commit({"a.yaml": "one"})

    with pytest.raises(PathNotFound):
        read(room, access(git_repo.url), "a.yaml", folder=folder)


@pytest.mark.parametrize(
    "limits",
    [RepositoryLimits(size_bytes=1000), RepositoryLimits(objects=2), RepositoryLimits(object_bytes=1000)],
    ids=["bytes", "objects", "one object"],
)
def test_a_fetch_over_a_limit_is_refused_and_the_mirror_stays_usable(
    room: SourceRoom, git_repo: Repo, limits: RepositoryLimits
) -> None:
    git_repo.commit({"big.txt": random.Random(1).randbytes(50_000), "a.yaml": "one"})

    with pytest.raises(SourceTooLarge):
        read(room, access(git_repo.url, limits=limits), "a.yaml")

    assert read(room, access(git_repo.url), "a.yaml") == b"one"


def test_a_full_disk_is_named_and_the_next_try_goes_on(tmp_path: Path, git_repo: Repo) -> None:
    """The file-size limit of a process stands for the full disk: the write fails in the same place."""
    git_repo.commit({f"{n}.txt": str(n) * 5000 + str(n * 7919) for n in range(200)})
    mirrors = tmp_path / "mirrors"
    program = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY));"
        "from pathlib import Path; from reconciler.clock import SystemClock; from reconciler.credentials import Credentials;"
        "from reconciler.source import SourceRoom; from reconciler.model.spec import RepositoryAccess;"
        "from reconciler.errors import MirrorBroken;\n"
        "room = SourceRoom(Path(sys.argv[1]), Credentials({}, None), SystemClock())\n"
        "try: room.fetch(RepositoryAccess(url=sys.argv[2]), [sys.argv[3]])\n"
        "except MirrorBroken as error: print('named', error.message)"
    )
    head = git_repo.head() or ""

    done = subprocess.run(
        [sys.executable, "-c", program, str(mirrors), git_repo.url, head], capture_output=True, text=True, check=True
    )

    assert "named" in done.stdout, done.stderr
    room = SourceRoom(mirrors, Credentials({}, None), SystemClock())
    assert read(room, access(git_repo.url), "1.txt").startswith(b"11111")
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_processes_that_fetch_at_once_share_one_mirror(tmp_path: Path, git_repo: Repo, git_server: GitServer) -> None:
    head = git_repo.commit({f"{n}.yaml": str(n) for n in range(50)})
    program = (
        "import sys; from pathlib import Path; from reconciler.clock import SystemClock;"
        "from reconciler.credentials import Credentials; from reconciler.source import SourceRoom;"
        "from reconciler.model.spec import RepositoryAccess;"
        "SourceRoom(Path(sys.argv[1]), Credentials({}, None), SystemClock())"
        ".fetch(RepositoryAccess(url=sys.argv[2]), [sys.argv[3]])"
    )
    arguments = [sys.executable, "-c", program, str(tmp_path / "m"), git_server.url("apps.git"), head]

    running = [subprocess.Popen(arguments, stderr=subprocess.PIPE) for _ in range(4)]

    assert [(one.communicate()[1], one.returncode) for one in running] == [(b"", 0)] * 4
    assert len(list((tmp_path / "m").glob("*.git/objects/pack/*.pack"))) == 1


def test_a_damaged_mirror_is_made_anew(tmp_path: Path, room: SourceRoom, git_repo: Repo) -> None:
    git_repo.commit({"a.yaml": "one"})
    read(room, access(git_repo.url), "a.yaml")
    for pack in (tmp_path / "mirrors").glob("*.git/objects/pack/*.pack"):
        pack.chmod(0o600)
        pack.write_bytes(b"rubbish")
    git_repo.commit({"a.yaml": "two"})

    with pytest.raises(MirrorBroken):
        read(room, access(git_repo.url), "a.yaml")

    assert read(room, access(git_repo.url), "a.yaml") == b"two"


@pytest.mark.parametrize("part", range(4))
def test_a_damaged_byte_is_told_once_and_the_mirror_made_anew(
    tmp_path: Path, room: SourceRoom, git_repo: Repo, part: int
) -> None:
    """Wherever it is in the pack: there is no error that comes again at every try."""
    git_repo.commit({"a.yaml": "some words that are long enough"})
    for position in range(12 + part, 10_000, 4):
        read(room, access(git_repo.url), "a.yaml")
        (pack,) = (tmp_path / "mirrors").glob("*.git/objects/pack/*.pack")
        data = bytearray(pack.read_bytes())
        if position >= len(data) - 20:
            break
        data[position] ^= 0xFF
        pack.chmod(0o600)
        pack.write_bytes(data)
        again = SourceRoom(tmp_path / "mirrors", Credentials({}, None), SystemClock())
        with pytest.raises(MirrorBroken):
            read(again, access(git_repo.url), "a.yaml")
        assert read(again, access(git_repo.url), "a.yaml") == b"some words that are long enough"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://ada:s3cret@git.example.com/a.git", "https://git.example.com/a.git"),
        ("ftp://ada:s3cret@git.example.com/a.git", "ftp://git.example.com/a.git"),
        ("ssh://git:s3cret@git.example.com/a.git", "ssh://git.example.com/a.git"),
        ("ssh://git@git.example.com/a.git", "ssh://git@git.example.com/a.git"),
        ("git@git.example.com:a.git", "git@git.example.com:a.git"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, expected: str) -> None:
    assert shown(url) == expected


def test_a_revision_names_its_source_without_credentials(room: SourceRoom) -> None:
    """It goes into status, so a password in the URL would be stored in Redis and shown by `app get`."""
    found = room.resolve(access("https://ada:s3cret@git.example.com/a.git"), Ref(commit="a" * 40))

    assert found.source == "https://git.example.com/a.git"


def test_a_folder_with_a_space_in_its_name_is_read(room: SourceRoom, tmp_path: Path) -> None:
    repo = Repo(tmp_path / "my apps.git")
    repo.commit({"a.yaml": "one"})

    assert read(room, access((tmp_path / "my apps.git").as_uri()), "a.yaml") == b"one"


def test_a_folder_with_a_bitmap_for_some_packs_only_is_fetched(room: SourceRoom, git_repo: Repo) -> None:
    """`git gc` in a bare repository leaves one pack with a bitmap; a later push adds a pack without one."""
    git_repo.commit({"a.yaml": "one"})
    with DulwichRepo(str(git_repo.path)) as repo:
        repo.object_store.pack_loose_objects()
        repo.object_store.generate_pack_bitmaps(dict(repo.refs.as_dict()))
    assert read(room, access(git_repo.url), "a.yaml") == b"one"
    git_repo.commit({"a.yaml": "two"})
    with DulwichRepo(str(git_repo.path)) as repo:
        repo.object_store.pack_loose_objects()

    assert read(room, access(git_repo.url), "a.yaml") == b"two"


def test_what_undrift_itself_keeps_is_no_repository(room: SourceRoom, git_repo: Repo, tmp_path: Path) -> None:
    """Another project's mirror has a name that can be computed from the fleet; its branches hold what its key may see."""
    git_repo.commit({"a.yaml": "private: hunter2"})
    read(room, access(git_repo.url), "a.yaml")
    (mirror,) = (tmp_path / "mirrors").glob("*.git")
    (tmp_path / "link").symlink_to(mirror)
    journal = Repo(tmp_path / "home" / "journal.git")
    commit = journal.commit({"a.yaml": "one"})
    at_home = SourceRoom(tmp_path / "mirrors", Credentials({}, None), SystemClock(), private=[tmp_path / "home"])

    for url in (mirror.as_uri(), (tmp_path / "link").as_uri(), f"file://{tmp_path}/git/../mirrors/{mirror.name}"):
        with pytest.raises(GitDenied, match="Undrift's own folder"):
            room.refs(access(url))
    with pytest.raises(GitDenied, match="Undrift's own folder"):
        at_home.fetch(access(journal.url), [commit])


def test_a_look_up_and_its_fetch_are_one_session(room: SourceRoom, git_server: GitServer, git_repo: Repo) -> None:
    """Two requests: the refs are looked up once, and the pack is asked for by what they said."""
    found = access(git_server.url("apps.git"))
    for text in ("one", "two"):
        commit = git_repo.commit({"a.yaml": text})
        before = git_server.requests

        with room.connected(found):
            head = room.refs(found).commit_of(Ref(branch="main"))
            room.fetch(found, [head])

        assert (head, git_server.requests - before) == (commit, 2)


def test_a_second_look_up_of_a_session_looks_again(room: SourceRoom, git_server: GitServer, git_repo: Repo) -> None:
    found = access(git_server.url("apps.git"))
    git_repo.commit({"a.yaml": "one"})
    with room.connected(found):
        room.refs(found)
        commit = git_repo.commit({"a.yaml": "two"})

        assert room.refs(found).commit_of(Ref(branch="main")) == commit


def test_a_session_is_of_its_own_repository(room: SourceRoom, git_server: GitServer, git_repo: Repo) -> None:
    other = Repo(git_repo.path.parent / "other.git")
    first, second = git_repo.commit({"a.yaml": "one"}), other.commit({"b.yaml": "two"})

    with room.connected(access(git_server.url("apps.git"))):
        assert room.refs(access(git_server.url("other.git"))).tips() == {second}
        assert room.refs(access(git_server.url("apps.git"))).tips() == {first}
