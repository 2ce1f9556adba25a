"""Everything that runs the engine: Celery, Redis, the scheduler and the command line.

`celery -A workers worker` and `celery -A workers flower` find the Celery app here; it is made only when asked for.
"""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    if name in ("app", "celery"):
        from workers.app import the_app

        return the_app()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
