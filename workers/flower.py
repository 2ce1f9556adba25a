"""How Flower is protected, however it is started: `undrift flower`, or `celery -A workers flower`.

It has a login from the first start, listens on 127.0.0.1, and shows without letting anyone act unless
UNDRIFT_FLOWER_ACTIONS=1. Its API is never open without a login: that would let every web page which an operator visits
start tasks. An own value of FLOWER_ADDRESS, FLOWER_BASIC_AUTH or FLOWER_AUTH (OAuth) is respected.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping

from workers.settings import Settings

COLUMNS = "name,args,state,received,started,runtime,worker,uuid"


def protect(settings: Settings, env: MutableMapping[str, str]) -> None:
    """Put Flower's options into the environment, from which it reads them when it starts."""
    env.pop("FLOWER_UNAUTHENTICATED_API", None)
    if not env.get("FLOWER_BASIC_AUTH") and not env.get("FLOWER_AUTH"):
        env["FLOWER_BASIC_AUTH"] = ":".join(settings.flower_login())
    # A configuration file is Python: one that happens to lie in the current folder must not run.
    env.setdefault("FLOWER_CONF", os.devnull)
    env.setdefault("FLOWER_ADDRESS", "127.0.0.1")
    env.setdefault("FLOWER_PORT", str(settings.flower_port))
    env.setdefault("FLOWER_MAX_TASKS", "10000")
    env.setdefault("FLOWER_TASKS_COLUMNS", COLUMNS)
    env.setdefault("FLOWER_NATURAL_TIME", "true")
    env["FLOWER_READ_ONLY"] = "false" if settings.flower_actions else "true"
