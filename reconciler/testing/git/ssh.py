"""Serves repositories over SSH, for one user key. Needs asyncssh."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

from dulwich.errors import NotGitRepository
from dulwich.server import ReceivePackHandler, UploadPackHandler

from reconciler.testing.git.folder import Folder


class SshGitServer:
    """Serves the repositories below a folder over SSH on 127.0.0.1, for one user key. Needs asyncssh."""

    def __init__(self, root: Path) -> None:
        import asyncssh

        self._asyncssh = asyncssh
        self._backend = Folder(root)
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
