"""The repositories below a folder, as Git's own server side wants them."""

from __future__ import annotations

import posixpath
import threading
from pathlib import Path
from typing import Any

from dulwich.errors import NotGitRepository
from dulwich.repo import Repo as DulwichRepo
from dulwich.server import Backend


class Folder(Backend):
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
