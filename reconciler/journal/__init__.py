"""Keeps what was done and decided, as a hash chain of Git commits that outlives Redis."""

from reconciler.journal.chain import Journal, Verdict

__all__ = ["Journal", "Verdict"]
