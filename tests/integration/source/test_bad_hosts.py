"""Git hosts that keep us waiting, or send without end: each ends by a limit, with an error that names the host.

Nothing here looks at the clock. Without the limits these tests would not end, or would take all memory.
"""

from __future__ import annotations

import fcntl
import gzip
import ssl
import zlib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.errors import GitDenied, GitUnreachable, SourceError, SourceTooLarge
from reconciler.model.spec import Ref, RepositoryAccess, RepositoryLimits
from reconciler.source import SourceRoom
from reconciler.source.exchange import Exchange
from reconciler.source.http import HostPool
from reconciler.testing.git import Repo
from tests.fixtures import hosts
from tests.fixtures.hosts import Host, Send
from tests.integration.source.test_room import access, read
from tests.integration.source.test_room import room as room

SOON = RepositoryLimits(timeout=timedelta(seconds=0.4))
COMMIT = "1" * 40
LATE = r"did not finish within 0\.4 s \(limits\.timeout\)"
# What a host answers a GET with: the host (for its pauses) and how to send.
Say = Callable[[Host, Send], None]


def asked(url: str) -> RepositoryAccess:
    return access(url, limits=SOON)


def hosted(say: Say) -> Host:
    made: list[Host] = []
    made.append(Host(lambda request, send: say(made[0], send)))
    return made[0]


def drip_refs(host: Host, send: Send) -> None:
    send(hosts.head() + hosts.packet(b"# service=git-upload-pack\n") + b"0000")
    while True:
        send(hosts.packet(b"%040x refs/heads/b\n" % 1))
        host.pause()


def drip_a_line(host: Host, send: Send) -> None:
    """Each byte comes before any time-out of a socket; the library asks for the whole line."""
    send(hosts.head() + b"fff0")
    while True:
        send(b"x")
        host.pause()


def drip_headers(host: Host, send: Send) -> None:
    send(b"HTTP/1.0 200 OK\r\nX: ")
    while True:
        send(b"x")
        host.pause()


def say_nothing(host: Host, _: Send) -> None:
    while True:
        host.pause()


@pytest.mark.parametrize("say", [drip_refs, drip_a_line, drip_headers, say_nothing])
def test_a_host_that_never_finishes_is_left(room: SourceRoom, say: Say) -> None:
    """Before, each such host held a worker until it was killed."""
    with hosted(say) as host, pytest.raises(GitUnreachable, match=LATE):
        room.refs(asked(host.url))


def test_a_host_that_never_shakes_hands_is_left(room: SourceRoom) -> None:
    with hosts.silent() as port, pytest.raises(GitUnreachable, match=LATE):
        room.refs(asked(f"https://127.0.0.1:{port}/x.git"))


def flood_refs(_: Host, send: Send) -> None:
    send(hosts.head() + hosts.packet(b"# service=git-upload-pack\n") + b"0000")
    send(hosts.packet(b"%040x refs/heads/a\0side-band-64k\n" % 1))
    while True:
        send(hosts.packet(b"%040x refs/heads/%0900d\n" % (1, 1)) * 100)


def test_refs_without_end_are_too_many(room: SourceRoom) -> None:
    with hosted(flood_refs) as host, pytest.raises(SourceTooLarge, match="bytes of refs"):
        room.refs(access(host.url))


def endless(status: str, kind: str, *more: str) -> Say:
    def say(_: Host, send: Send) -> None:
        send(hosts.head(kind, status, *more))
        while True:
            send(b"%040x\trefs/heads/main\n" % 1 * 1000)

    return say


@pytest.mark.parametrize(
    ("say", "error", "words"),
    [
        (endless("500 X", "text/plain"), GitUnreachable, "500"),
        (endless("401 X", "text/plain"), GitDenied, "401"),
        (endless("503 X", "text/plain", "Retry-After: 7"), GitUnreachable, "7 s"),
        (endless("302 X", "text/plain", "Location: http://localhost:1/x"), GitDenied, "another host"),
        (endless("302 X", "text/plain", "Location: /x.git/info/refs"), GitUnreachable, "in circles"),
        (endless("200 OK", "text/plain"), GitUnreachable, "smart HTTP"),
        (endless("200 OK", "application/x-git-receive-pack-advertisement"), GitUnreachable, "smart HTTP"),
    ],
    ids=["error", "denial", "busy", "redirect away", "redirect in circles", "dumb HTTP", "another service"],
)
def test_what_is_not_the_answer_is_not_read(room: SourceRoom, say: Say, error: type[SourceError], words: str) -> None:
    """Before, it was drained so that its connection could be used again: for ever. A dumb answer was taken for refs, and
    then for loose objects, which were inflated without a bound."""
    with hosted(say) as host, pytest.raises(error, match=words):
        room.refs(access(host.url))


def test_an_answer_that_is_packed_again_is_not_unpacked(room: SourceRoom) -> None:
    packed = gzip.compress(hosts.advertised([(b"refs/heads/main", COMMIT)]) + bytes(50_000_000), 1)

    def say(_: Host, send: Send) -> None:
        send(hosts.head(hosts.ADVERTISEMENT, "200 OK", "Content-Encoding: gzip") + packed)

    with hosted(say) as host, pytest.raises(GitUnreachable, match="did not answer as Git does"):
        room.refs(access(host.url))


def test_a_host_can_not_make_us_ask_for_something_else() -> None:
    """`packfile-uris` and alternates name any address, such as one of the network that we are in."""
    pool = HostPool(Exchange("https://git.example.com/x"), ssl.create_default_context(), {})

    with pytest.raises(GitDenied, match="not Git's"):
        pool.urlopen("GET", "http://169.254.169.254/latest/meta-data")


def test_progress_without_a_pack_is_left(room: SourceRoom) -> None:
    """Side-band words count for nothing, and come again before any time-out of a socket."""
    made: list[Host] = []

    def answer(request: bytes, send: Send) -> None:
        if request.startswith(b"GET"):
            send(hosts.head() + hosts.advertised([(b"refs/heads/main", COMMIT)]))
            return
        send(hosts.head(hosts.RESULT) + hosts.packet(b"NAK\n"))
        while True:
            send(hosts.packet(b"\x02working\n"))
            made[0].pause()

    made.append(Host(answer))
    with made[0] as host, pytest.raises(SourceTooLarge, match=LATE):
        room.fetch(asked(host.url), [COMMIT])


def test_progress_counts_as_what_a_fetch_may_bring(room: SourceRoom) -> None:
    def answer(request: bytes, send: Send) -> None:
        if request.startswith(b"GET"):
            send(hosts.head() + hosts.advertised([(b"refs/heads/main", COMMIT)]))
            return
        send(hosts.head(hosts.RESULT) + hosts.packet(b"NAK\n"))
        while True:
            send(hosts.packet(b"\x02" + b"x" * 60_000))

    found = RepositoryLimits(size_bytes=1_000_000)
    with Host(answer) as host, pytest.raises(SourceTooLarge, match=r"over 1000000 bytes \(limits\.sizeBytes\)"):
        room.fetch(access(host.url, limits=found), [COMMIT])


def test_a_mirror_that_another_process_does_not_give_back_is_not_waited_for_for_ever(
    room: SourceRoom, git_repo: Repo, tmp_path: Path
) -> None:
    first = git_repo.commit({"a.yaml": "one"})
    found = access(git_repo.url)
    room.fetch(found, [first])
    (lock,) = (tmp_path / "mirrors").glob("*.lock")
    with lock.open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(GitUnreachable, match="by another process"):
            room.fetch(asked(git_repo.url), [git_repo.commit({"a.yaml": "two"})])

    assert read(room, found, "a.yaml") == b"two"


@pytest.mark.parametrize(
    "program",
    ["exec sleep 1000", "yes words >&2", "printf fff0; while :; do printf x; sleep 0.02; done"],
    ids=["silent", "talks on", "drips"],
)
def test_an_ssh_session_that_never_ends_is_killed(
    room: SourceRoom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    """A program stands for ssh here: what a host says through it is what counts."""
    (tmp_path / "ssh").write_text(f"#!/bin/sh\n{program}\n")
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    with pytest.raises(GitUnreachable, match=LATE):
        room.refs(asked("ssh://git@127.0.0.1:1/x.git"))


def test_what_an_ssh_host_prints_is_told_up_to_a_limit(
    room: SourceRoom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ssh").write_text("#!/bin/sh\nexec 1>&-\nyes words >&2\n")
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    with pytest.raises(GitUnreachable, match="words words"):
        room.refs(access("ssh://git@127.0.0.1:1/x.git"))


def commit_of(blob: bytes) -> tuple[str, list[bytes]]:
    """A commit of one file, and its objects but the file's, packed."""
    tree = b"100644 a.yaml\0" + bytes.fromhex(hosts.object_id(b"blob", blob))
    lines = (
        f"tree {hosts.object_id(b'tree', tree)}",
        "author a <a@b> 1 +0000",
        "committer a <a@b> 1 +0000",
        "",
        "x",
        "",
    )
    commit = "\n".join(lines).encode()
    return hosts.object_id(b"commit", commit), [hosts.packed(1, commit), hosts.packed(2, tree)]


HELD, OBJECTS = commit_of(b"one")
PACKS = {
    "an object is longer than it says": hosts.pack_of([*OBJECTS, hosts.packed(3, b"x" * 100_000, size=10)]),
    "an object is shorter than it says": hosts.pack_of([*OBJECTS, hosts.packed(3, b"one", size=1000)]),
    "no object can be inflated": hosts.pack_of([*OBJECTS, hosts.packed(3, b"one", deflated=b"no zlib at all")]),
    "a delta without a head": hosts.pack_of([*OBJECTS, hosts.packed(6, b"")[:1] + b"\x01" + hosts.packed(3, b"")[1:]]),
    "a delta of nothing": hosts.pack_of([*OBJECTS, bytes([0x61, 0x01]) + hosts.packed(3, b"\x80")[1:]]),
    "a kind that is none": hosts.pack_of([*OBJECTS, hosts.packed(5, b"one")]),
    "more objects are announced": hosts.pack_of(OBJECTS, count=9),
    "fewer objects are announced": hosts.pack_of([*OBJECTS, hosts.packed(3, b"one")], count=1),
    "the sum is wrong": hosts.pack_of([*OBJECTS, hosts.packed(3, b"one")])[:-20] + bytes(20),
    "no pack": b"<html>please log in</html>" * 10,
    "a malformed commit": hosts.pack_of([hosts.packed(1, b"no commit at all")]),
}


@pytest.mark.parametrize("name", PACKS)
def test_a_damaged_pack_is_an_error_that_names_its_host(room: SourceRoom, tmp_path: Path, name: str) -> None:
    """Before, the first of these was a BufferError, told as a mistake of Undrift itself."""
    with Host(hosts.offering(HELD, PACKS[name])) as host:
        with pytest.raises(SourceError, match=rf"127\.0\.0\.1:{host.port}"):
            room.fetch(access(host.url), [HELD])

        assert [one for one in (tmp_path / "mirrors").rglob("pack/*") if one.is_file()] == []


def test_a_host_whose_pack_was_damaged_is_read_once_it_is_well(room: SourceRoom) -> None:
    answers = [PACKS["the sum is wrong"], hosts.pack_of([*OBJECTS, hosts.packed(3, b"one")])]

    def answer(request: bytes, send: Send) -> None:
        is_fetch = request.startswith(b"POST")
        hosts.offering(HELD, answers.pop(0) if is_fetch else b"")(request, send)

    with Host(answer) as host:
        with pytest.raises(SourceError):
            room.fetch(access(host.url), [HELD])

        assert read(room, access(host.url), "a.yaml", ref=Ref(commit=HELD)) == b"one"


def test_a_pack_that_takes_for_ever_to_unpack_is_left(room: SourceRoom) -> None:
    """A few megabytes that are hours of inflating: each object below the limit of one, and their number below that, too."""
    deflated = zlib.compress(bytes(60_000_000), 9)
    one = hosts.packed(3, b"", deflated=deflated, size=60_000_000)
    with Host(hosts.offering(HELD, hosts.pack_of([*OBJECTS, *[one] * 400]))) as host:
        with pytest.raises(SourceTooLarge, match=LATE):
            room.fetch(asked(host.url), [HELD])


def delta(number: int, base_size: int, size: int) -> bytes:
    """A delta's data: two sizes, then the base copied, and one byte of its own."""
    sizes = b"".join(bytes([one & 127 | 128, (one >> 7) & 127 | 128, one >> 14]) for one in (base_size, size))
    return sizes + b"\xf0" + (size - 1).to_bytes(3, "little") + bytes([1, number])


@pytest.mark.parametrize("by", ["distance", "id"])
def test_a_chain_of_deltas_that_would_fill_the_memory_is_refused(room: SourceRoom, by: str) -> None:
    """Two deltas at each step, so that each step is held until the other was unpacked: 60 kB of them took gigabytes."""
    size, deepest = 100_000, 20
    content, objects = bytes(size), [*OBJECTS, hosts.packed(3, bytes(size))]
    back = len(objects[-1])
    for number in range(deepest):
        data = delta(number, size, size)
        if by == "id":
            made = hosts.packed(7, data)
            cut = len(made) - len(zlib.compress(data))
            made = made[:cut] + bytes.fromhex(hosts.object_id(b"blob", content)) + made[cut:]
        else:
            made = hosts.packed(6, data)
            cut = len(made) - len(zlib.compress(data))
            made = made[:cut] + offset(back) + made[cut:]
        content, back = content[: size - 1] + bytes([number]), len(made)
        objects.append(made)
    limits = RepositoryLimits(object_bytes=2 * size)

    with Host(hosts.offering(HELD, hosts.pack_of(objects))) as host:
        with pytest.raises(SourceTooLarge, match="made of one another"):
            room.fetch(access(host.url, limits=limits), [HELD])


def offset(back: int) -> bytes:
    """A distance, as gitformat-pack(5) has it."""
    made, back = [back & 127], back >> 7
    while back:
        made.append((back - 1) & 127 | 128)
        back = (back - 1) >> 7
    return bytes(reversed(made))


@pytest.mark.parametrize("oid", ["x" * 40, "A" * 40, "12", "a" * 41, "../../etc/passwd".ljust(40, "/")])
def test_a_ref_without_an_object_id_is_not_git(room: SourceRoom, oid: str) -> None:
    """A first look would note it as the commit that is judged."""
    with hosted(lambda _, send: send(hosts.head() + hosts.advertised([(b"refs/heads/main", oid)]))) as host:
        with pytest.raises(GitUnreachable, match="did not answer as Git does"):
            room.refs(access(host.url))


@pytest.mark.parametrize("oid", [COMMIT, "f" * 64])
def test_a_ref_has_an_object_id_of_either_hash(room: SourceRoom, oid: str) -> None:
    with hosted(lambda _, send: send(hosts.head() + hosts.advertised([(b"refs/heads/main", oid)]))) as host:
        assert room.refs(access(host.url)).by_name["refs/heads/main"] == oid
