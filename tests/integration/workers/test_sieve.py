"""What the broker's channel makes of messages that would hurt before a handler sees them."""

from __future__ import annotations

import base64
import bz2
import gzip
import json
from collections.abc import Callable
from typing import Any

import kombu
import pytest
import redis
from structlog.testing import capture_logs

from tests.acceptance.test_poison import envelope
from workers.app import QUEUE, broker_url
from workers.sieve import Connection

INFLATED = b"[" + b" " * (64 << 20) + b"]"


@pytest.mark.parametrize(
    ("compression", "pack"), [("application/x-bz2", bz2.compress), ("application/x-gzip", gzip.compress)]
)
def test_a_message_that_is_compressed_is_dropped_unread(
    valkey: str, redis_client: redis.Redis, compression: str, pack: Callable[[bytes], bytes]
) -> None:
    """kombu inflates a message as it makes one: 1,184 bytes became 1.3 GB."""
    bomb = envelope(body=base64.b64encode(pack(INFLATED)).decode(), headers={"compression": compression})
    mine, taken = envelope(), list[Any]()

    def take(message: Any) -> None:
        taken.append(message)
        message.ack()

    redis_client.lpush(QUEUE, json.dumps(bomb), json.dumps(mine))
    with (
        capture_logs() as logs,
        Connection(broker_url(valkey)) as connection,
        connection.Consumer([kombu.Queue(QUEUE)], on_message=take),
    ):
        while not taken:
            connection.drain_events(timeout=10)

    assert [message.headers["id"] for message in taken] == [mine["headers"]["id"]]
    assert [(one["event"], one["error"]) for one in logs] == [("message_dropped", "Compressed")]
    assert redis_client.hlen("unacked") == 0
