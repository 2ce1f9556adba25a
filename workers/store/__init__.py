"""Remembers, in Redis: what is due, who may run, and what was last seen. All of it can be lost at any moment."""

from workers.store.store import Store, open_store

__all__ = ["Store", "open_store"]
