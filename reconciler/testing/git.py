"""A real Git server and a way to write repositories, for tests, the demo and trying things out. No git program is needed.

`Repo` writes commits straight into a bare repository on disk. `GitServer` serves repositories over smart HTTP on
127.0.0.1, with logins and with faults to switch on; `python -m reconciler.testing.git FOLDER [--port N]` serves every
repository below a folder until it is stopped. `SshGitServer` (needs asyncssh) serves the same over SSH.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import posixpath
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIServer

from dulwich.errors import NotGitRepository
from dulwich.index import commit_tree
from dulwich.object_store import iter_tree_contents
from dulwich.objects import Blob, Commit, ObjectID
from dulwich.refs import Ref
from dulwich.repo import Repo as DulwichRepo
from dulwich.server import Backend, ReceivePackHandler, UploadPackHandler
from dulwich.web import WSGIRequestHandlerLogger, make_wsgi_chain

AUTHOR = b"A Developer <dev@example.com>"
Start = Callable[..., Any]


class Repo:
    """A bare repository on disk, written commit by commit. Its last commit may be replaced, as a force-push does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not (path / "objects").is_dir():
            path.mkdir(parents=True, exist_ok=True)
            DulwichRepo.init_bare(str(path)).close()
            (path / "HEAD").write_text("ref: refs/heads/main\n")

    @property
    def url(self) -> str:
        """Its `file://` URL."""
        return f"file://{self.path}"

    def commit(
        self,
        changes: Mapping[str, str | bytes | None],
        message: str = "change",
        *,
        branch: str = "main",
        parent: str | None = None,
        links: Mapping[str, str] | None = None,
    ) -> str:
        """Write files (None removes one) on top of a branch, or of another `parent`; the new commit's id."""
        with closing(DulwichRepo(str(self.path))) as repo:
            before = parent or self.head(branch)
            files = _files_at(repo, before)
            for path, content in changes.items():
                _put(repo, files, path, content)
            for path, target in (links or {}).items():
                _put(repo, files, path, target, mode=0o120000)
            return self._write(repo, files, [before] if before else [], message, branch)

    def commit_folder(self, folder: Path, message: str = "import", *, branch: str = "main") -> str:
        """Make a branch's files those of a folder on disk."""
        found = {
            str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
        }
        with closing(DulwichRepo(str(self.path))) as repo:
            gone = {path.decode(): None for path in _files_at(repo, self.head(branch))}
        return self.commit({**gone, **found}, message, branch=branch)

    def revert(self, branch: str = "main") -> str:
        """Undo a branch's last commit by a new one, as `git revert HEAD` does; the new commit's id."""
        with closing(DulwichRepo(str(self.path))) as repo:
            last = self.head(branch)
            commit = repo[ObjectID((last or "").encode())]
            assert isinstance(commit, Commit)
            assert commit.parents, "a first commit can't be reverted"
            files = _files_at(repo, commit.parents[0].decode())
            message = f'Revert "{commit.message.decode().strip()}"'
            return self._write(repo, files, [last or ""], message, branch)

    def head(self, branch: str = "main") -> str | None:
        """The commit that a branch points at."""
        with closing(DulwichRepo(str(self.path))) as repo:
            name = Ref(b"refs/heads/" + branch.encode())
            return repo.refs[name].decode() if name in repo.refs else None

    def tag(self, name: str, commit: str, *, annotated: bool = False) -> None:
        """Point a tag at a commit."""
        from dulwich.porcelain import tag_create

        with closing(DulwichRepo(str(self.path))) as repo:
            if annotated:
                tag_create(repo, name.encode(), AUTHOR, b"a release", annotated=True, objectish=commit.encode())
            else:
                repo.refs[Ref(b"refs/tags/" + name.encode())] = ObjectID(commit.encode())

    def reset(self, commit: str, branch: str = "main") -> None:
        """Point a branch at any commit: a force-push, seen from the server."""
        with closing(DulwichRepo(str(self.path))) as repo:
            repo.refs[Ref(b"refs/heads/" + branch.encode())] = ObjectID(commit.encode())

    def _write(
        self, repo: DulwichRepo, files: dict[bytes, tuple[int, bytes]], parents: list[str], message: str, branch: str
    ) -> str:
        blobs = [(path, ObjectID(oid), mode) for path, (mode, oid) in files.items()]
        made = Commit()
        made.tree = commit_tree(repo.object_store, blobs)
        made.parents = [ObjectID(one.encode()) for one in parents if one]
        made.author = made.committer = AUTHOR
        made.author_time = made.commit_time = int(time.time())
        made.author_timezone = made.commit_timezone = 0
        made.encoding = b"UTF-8"
        made.message = message.encode() + b"\n"
        repo.object_store.add_object(made)
        repo.refs[Ref(b"refs/heads/" + branch.encode())] = made.id
        return made.id.decode()


def _files_at(repo: DulwichRepo, commit: str | None) -> dict[bytes, tuple[int, bytes]]:
    if commit is None:
        return {}
    found = repo[ObjectID(commit.encode())]
    assert isinstance(found, Commit)
    entries = iter_tree_contents(repo.object_store, found.tree)
    return {bytes(entry.path or b""): (int(entry.mode or 0), bytes(entry.sha or b"")) for entry in entries}


def _put(
    repo: DulwichRepo,
    files: dict[bytes, tuple[int, bytes]],
    path: str,
    content: str | bytes | None,
    *,
    mode: int = 0o100644,
) -> None:
    if content is None:
        files.pop(path.encode(), None)
        return
    blob = Blob.from_string(content.encode() if isinstance(content, str) else content)
    repo.object_store.add_object(blob)
    files[path.encode()] = (mode, blob.id)


class _Folder(Backend):
    """Every repository below a folder, opened anew for each request, so that commits on disk are seen. What a thread has
    opened it closes at its request's end."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._local = threading.local()

    def close(self) -> None:
        for repo in self._local.__dict__.pop("opened", ()):
            repo.close()

    def open_repository(self, path: str | bytes) -> Any:
        text = path.decode() if isinstance(path, bytes) else path
        place = (self._root / posixpath.normpath("/" + text).lstrip("/")).resolve()
        if not place.is_relative_to(self._root.resolve()) or not place.is_dir():
            raise NotGitRepository(text)
        repo = DulwichRepo(str(place))
        self._local.__dict__.setdefault("opened", []).append(repo)
        return repo


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandlerLogger):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: tests read their own output."""


class GitServer:
    """Serves the repositories below a folder over HTTP on 127.0.0.1, or over HTTPS with a context for `tls`.

    `login` is (user, password), or ("", token) for Bearer. `fault`, while set, is what every request gets: `401`, `403`,
    `404`, `500`, `garbage`, `slow`, or a URL to redirect to. `requests` counts them.
    """

    def __init__(
        self,
        root: Path,
        *,
        port: int = 0,
        login: tuple[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._scheme = "https" if tls else "http"
        self.login, self.fault, self.requests = login, "", 0
        self.last_authorization = ""
        self._folder = _Folder(root)
        self._git = make_wsgi_chain(self._folder)
        self._released = threading.Event()
        self._server = _Server(("127.0.0.1", port), _Quiet)
        self._server.set_app(self._answer)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> GitServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def port(self) -> int:
        return self._server.server_port

    def url(self, name: str) -> str:
        """The URL of a repository by its path below the folder."""
        return f"{self._scheme}://127.0.0.1:{self.port}/{name}"

    def stop(self) -> None:
        """End the server; requests that are being slow end too."""
        self._released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def serve(self) -> None:
        """Serve until interrupted, in this thread."""
        self._server.serve_forever(0.2)

    def _answer(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        self.requests += 1
        self.last_authorization = environ.get("HTTP_AUTHORIZATION", "")
        if self.fault == "slow":
            self._released.wait(60)
        elif self.fault == "garbage":
            start("200 OK", [("Content-Type", "text/html")])
            return [b"<html>please log in</html>"]
        elif self.fault.startswith("http"):
            start("302 Found", [("Location", self.fault + environ["PATH_INFO"])])
            return [b""]
        elif self.fault:
            start(f"{self.fault} Fault", [("Content-Type", "text/plain")])
            return [b"a fault was asked for\n"]
        if not self._is_logged_in():
            start("401 Unauthorized", [("WWW-Authenticate", 'Basic realm="git"')])
            return [b"log in\n"]
        try:
            return list(self._git(environ, start))
        finally:
            self._folder.close()

    def _is_logged_in(self) -> bool:
        if self.login is None:
            return True
        user, secret = self.login
        if not user:
            return self.last_authorization == f"Bearer {secret}"
        basic = base64.b64encode(f"{user}:{secret}".encode()).decode()
        return self.last_authorization == f"Basic {basic}"


class SshGitServer:
    """Serves the repositories below a folder over SSH on 127.0.0.1, for one user key. Needs asyncssh."""

    def __init__(self, root: Path) -> None:
        import asyncssh

        self._asyncssh = asyncssh
        self._backend = _Folder(root)
        self.host_key = asyncssh.generate_private_key("ssh-ed25519")
        self.user_key = asyncssh.generate_private_key("ssh-ed25519")
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._listener: Any = None

    def __enter__(self) -> SshGitServer:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def url(self, name: str) -> str:
        return f"ssh://git@127.0.0.1:{self.port}/{name}"

    @property
    def private_key(self) -> str:
        """The key that may log in, as OpenSSH writes it."""
        return str(self.user_key.export_private_key().decode())

    @property
    def known_hosts(self) -> str:
        """The line that a client needs to know this host."""
        return f"[127.0.0.1]:{self.port} {self.host_key.export_public_key().decode()}"

    async def _listen(self, port: int = 0) -> None:
        allowed = self._asyncssh.import_authorized_keys(self.user_key.export_public_key().decode())
        self._listener = await self._asyncssh.listen(
            "127.0.0.1",
            port,
            server_host_keys=[self.host_key],
            authorized_client_keys=allowed,
            process_factory=self._serve,
            encoding=None,
        )
        self.port = self._listener.get_port()

    def change_host_key(self) -> None:
        """Become another machine on the same port."""
        self.host_key = self._asyncssh.generate_private_key("ssh-ed25519")
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        asyncio.run_coroutine_threadsafe(self._listen(self.port), self._loop).result(10)

    async def _close(self) -> None:
        self._listener.close()
        await self._listener.wait_closed()

    async def _serve(self, process: Any) -> None:
        """Run git-upload-pack or git-receive-pack between the client and a repository, in a thread of its own."""
        words = (process.command or "").split(" ", 1)
        handlers = {"git-upload-pack": UploadPackHandler, "git-receive-pack": ReceivePackHandler}
        if len(words) != 2 or words[0] not in handlers:
            process.exit(1)
            return
        status = await asyncio.get_running_loop().run_in_executor(
            None, self._handle, handlers[words[0]], words[1].strip("'\""), process, asyncio.get_running_loop()
        )
        process.exit(status)

    def _handle(self, handler: Any, path: str, process: Any, loop: asyncio.AbstractEventLoop) -> int:
        from dulwich.protocol import Protocol

        def read(size: int) -> bytes:
            data = asyncio.run_coroutine_threadsafe(process.stdin.readexactly(size), loop)
            try:
                return bytes(data.result(30))
            except asyncio.IncompleteReadError as error:
                return bytes(error.partial)

        def write(data: bytes) -> int:
            loop.call_soon_threadsafe(process.stdout.write, bytes(data))
            return len(data)

        try:
            handler(self._backend, [path], Protocol(read, write)).handle()
        except NotGitRepository:
            loop.call_soon_threadsafe(process.stderr.write, b"no such repository\n")
            return 128
        return 0


def main() -> None:
    """Serve every repository below a folder."""
    parser = argparse.ArgumentParser(prog="python -m reconciler.testing.git", description=main.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    server = GitServer(options.folder, port=options.port)
    print(f"serving {options.folder} at {server.url('')}", flush=True)
    try:
        server.serve()
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()
