"""The journal's copy: pushed by a thread of its own, so that a Git host that is slow or away holds nothing up."""

from __future__ import annotations

import threading

import structlog

from reconciler.credentials import Credentials
from reconciler.errors import JournalBroken, SourceError, UndriftError
from reconciler.journal import Journal
from reconciler.journal.copy import Copy, push, restore
from reconciler.model.spec import RepositoryAccess
from reconciler.source.remote import opened, shown
from workers.store import Store

log = structlog.get_logger()
EVERY_S = 30.0


class JournalCopy:
    """Used by the scheduler that leads."""

    def __init__(self, journal: Journal, access: RepositoryAccess, credentials: Credentials, store: Store) -> None:
        self._journal, self._access, self._credentials, self._store = journal, access, credentials, store
        self._at_s = 0.0
        self._pushed = ""
        self._problem = ""
        self._thread: threading.Thread | None = None

    def restore(self) -> None:
        """Begin from the copy when the volume has no journal. Raises JournalBroken when nobody can tell what it holds."""
        if self._journal.exists:
            return
        try:
            with opened(self._access, self._credentials) as remote:
                head = restore(self._journal, Copy(remote.client, remote.path, shown(remote.url)))
        except SourceError as error:
            raise JournalBroken(f"the journal is not here, and its copy can't be read: {error.message}") from error
        if head:
            log.warning("journal_restored", commit=head[:12], url=shown(self._access.url))
            self._tell("JournalRestored", f"the journal was not there; it begins again from {shown(self._access.url)}")

    def tend(self) -> None:
        """Now and then: begin to push what is new. Never waits."""
        now_s = self._store.clock.boot_s()
        if now_s < self._at_s or (self._thread is not None and self._thread.is_alive()):
            return
        self._at_s = now_s + EVERY_S
        if self._journal.head() != self._pushed:
            self._thread = threading.Thread(target=self._push, name="journal-copy", daemon=True)
            self._thread.start()

    def push(self) -> None:
        """Push now. Raises UndriftError when the copy can't be brought up to date."""
        with opened(self._access, self._credentials) as remote:
            self._pushed = push(self._journal, Copy(remote.client, remote.path, shown(remote.url)))
        self._store.outbox.note_copy(self._pushed)
        self._problem = ""

    def _push(self) -> None:
        """A copy that can't be written is told once, and tried again: the journal itself is whole."""
        try:
            self.push()
        except UndriftError as error:
            if error.message != self._problem:
                self._problem = error.message
                self._tell("JournalNotCopied", error.message)
                log.error("journal_not_copied", problem=error.message)
            self._store.outbox.note_copy("", error.message)

    def _tell(self, reason: str, message: str) -> None:
        self._store.events.append(self._store.clock.now(), "scheduler", "journal", reason, message)
