"""The journal's copy: pushed by a thread of its own, so that a Git host that is slow or away holds nothing up.

Schedulers on several machines share it: each takes from it what another wrote before it writes itself, so that there is
one chain, and what one of them noted is known to all.
"""

from __future__ import annotations

import threading

import structlog

from reconciler.credentials import Credentials
from reconciler.errors import JournalBroken, SourceError, UndriftError
from reconciler.journal import Journal
from reconciler.journal.copy import Copy, catch_up, push
from reconciler.model.spec import RepositoryAccess
from reconciler.source.remote import opened, shown
from workers.store import Store

log = structlog.get_logger()
EVERY_S = 30.0
LOOK_EVERY_S = 5.0
LONGEST_EXCHANGE_S = 60.0
LONGEST_GAP_S = 120.0
"""How long the push of another machine is waited for. One that died takes what it had not pushed with it."""


class JournalCopy:
    """Used by the scheduler that leads."""

    def __init__(self, journal: Journal, access: RepositoryAccess, credentials: Credentials, store: Store) -> None:
        self._journal, self._access, self._credentials, self._store = journal, access, credentials, store
        self._at_s = self._look_at_s = 0.0
        self._awaited: tuple[str, float] = ("", 0.0)
        self._pushed = ""
        self._problem = ""
        self._thread: threading.Thread | None = None

    def restore(self) -> None:
        """Take from the copy what this volume's journal lacks, all of it if it is not there. Raises JournalBroken when
        nobody can tell what the copy holds: another machine's scheduler may have written to it."""
        was_here, url = self._journal.exists, shown(self._access.url)
        try:
            with opened(self._access, self._credentials) as remote, remote.exchange.within(LONGEST_EXCHANGE_S):
                is_newer = catch_up(self._journal, Copy(remote.client, remote.path, url))
        except SourceError as error:
            raise JournalBroken(f"the journal's copy can't be read: {error.message}") from error
        if is_newer:
            log.info("journal_restored", commit=str(self._journal.head())[:12], url=url)
        if is_newer and not was_here:
            self._tell("JournalRestored", f"the journal was not there; it begins again from {url}")

    def require_newest(self, known: str | None) -> None:
        """Asked before each entry is written. `known` is the newest commit that any machine has told of.

        Raises JournalBroken while that is neither here nor in the copy; after two minutes it is taken for lost.
        """
        if known is None or known == self._journal.head() or self._journal.has(known):
            return
        now_s = self._store.clock.boot_s()
        if self._awaited[0] != known:
            self._awaited, self._look_at_s = (known, now_s), 0.0
        if now_s >= self._look_at_s:
            self._look_at_s = now_s + LOOK_EVERY_S
            self.restore()
            if self._journal.has(known):
                return
        if now_s - self._awaited[1] < LONGEST_GAP_S:
            raise JournalBroken(f"commit {known[:12]} of another machine's journal is not in the copy yet")
        message = f"the last entries up to commit {known[:12]}, written on another machine, never came to the copy"
        self._tell("JournalGap", message)
        log.error("journal_gap", commit=known[:12])

    def soon(self) -> None:
        """Push at the next occasion: a decision was noted, which another machine may have to know."""
        self._at_s = 0.0

    def tend(self) -> None:
        """Now and then: begin to push what is new, unless another machine has written since. Never waits."""
        now_s = self._store.clock.boot_s()
        if now_s < self._at_s or (self._thread is not None and self._thread.is_alive()):
            return
        self._at_s = now_s + EVERY_S
        head = self._journal.head()
        if head != self._pushed and head == self._store.outbox.head():
            self._thread = threading.Thread(target=self._push, name="journal-copy", daemon=True)
            self._thread.start()

    def push(self) -> None:
        """Push now. Raises UndriftError when the copy can't be brought up to date."""
        with opened(self._access, self._credentials) as remote, remote.exchange.within(LONGEST_EXCHANGE_S):
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
