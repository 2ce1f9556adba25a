"""The process `undrift watcher`: what others change of ours makes its instance due as it happens."""

from workers.watchers.watcher import Watcher

__all__ = ["Watcher"]
