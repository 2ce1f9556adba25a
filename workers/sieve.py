"""What the broker holds is judged before Celery works with it: what is no message of ours is dropped, and the worker lives.

Celery 5.6 and kombu 5.7 end the worker on an envelope that they can't read, and leave a message whose body or headers they
can't read unacknowledged, so that it is restored and ends the next worker, too. Dropping loses nothing: a grant whose
message is lost is granted again when its lease ends. Dropped messages are counted by the log, which never shows what they
held; anybody who may write to the broker may still empty it.

    envelope    the Channel's reading           no JSON, no fields, no body, a body that is compressed
    message     the Consumer's task handler     of no task of ours, no (args, kwargs, embed), too long, for later
    control     the worker's panel              only commands that we or a Flower that only looks need
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import kombu
import structlog
from celery import bootsteps
from celery.app.amqp import AMQP
from celery.worker.control import Panel
from kombu.transport import redis as transport
from redis.exceptions import ResponseError

log = structlog.get_logger()

LONGEST_BYTES = 1 << 20
"""Ours have some hundred; a resync by hand has names."""
COMMANDS = frozenset(
    {
        "active",
        "active_queues",
        "add_consumer",  # ours, as is its opposite: a worker whose clock is wrong takes nothing
        "cancel_consumer",
        "conf",
        "disable_events",
        "enable_events",
        "heartbeat",
        "hello",
        "ping",
        "query_task",
        "registered",
        "report",
        "reserved",
        "revoked",
        "scheduled",
        "stats",
    }
)


class Compressed(Exception):
    """A message whose body is compressed, which ours never are."""


class Message(transport.Channel.Message):  # type: ignore[misc]  # kombu has no types
    """A message that is not inflated: kombu does that as it makes one, so 1 KB of bzip2 took 1.3 GB of the worker before
    anybody could ask how long it is."""

    def __init__(self, payload: Any, channel: Any = None, **named: Any) -> None:
        if (payload.get("headers") or {}).get("compression"):
            raise Compressed
        super().__init__(payload, channel=channel, **named)


class Channel(transport.Channel):  # type: ignore[misc]
    """A channel that survives what it reads."""

    Message = Message

    def _brpop_read(self, **options: Any) -> Any:
        return _survived(super()._brpop_read, **options)

    def _receive(self) -> Any:
        return _survived(super()._receive)


def _survived(read: Callable[..., Any], **options: Any) -> Any:
    """What was read. True, as for a message that was handled, for one that was dropped: it has left its queue already."""
    try:
        return read(**options)
    except KeyError as error:  # a field that is missing; kombu takes it for a lost connection
        return _dropped_envelope(error)
    except (*transport.Transport.connection_errors, ResponseError, transport.Empty):
        raise  # Celery begins anew, as the app is set up
    except Compressed as error:
        return _dropped_envelope(error, "its body is compressed, which ours never are")
    except Exception as error:
        return _dropped_envelope(error)


def _dropped_envelope(error: Exception, why: str = "no envelope of a message") -> bool:
    log.warning("message_dropped", why=why, error=type(error).__name__)
    return True


class Transport(transport.Transport):  # type: ignore[misc]
    """kombu's Redis transport, over our channels."""

    Channel = Channel


class Connection(kombu.Connection):  # type: ignore[misc]
    """A connection that has our transport, whatever its URL's scheme is."""

    def get_transport_cls(self) -> type[Transport]:
        return Transport


class Amqp(AMQP):  # type: ignore[misc]
    """Gives the app our connections."""

    Connection = BrokerConnection = Connection


class Sieve(bootsteps.StartStopStep):  # type: ignore[misc]
    """Puts itself before the consumer's own handler, which it is asked for anew with each connection."""

    def __init__(self, parent: Any, **_: Any) -> None:
        def make() -> Callable[[Any], None]:
            return _sieved(parent, type(parent).create_task_handler(parent))

        # Celery's own ways to refuse a message repeat it in the log.
        parent.create_task_handler = make
        parent.on_decode_error = lambda message, error: _drop(message, f"it can't be read: {type(error).__name__}")
        parent.on_invalid_task = lambda _, message, error: _drop(message, f"it is no call: {type(error).__name__}")


class FewCommands(bootsteps.StartStopStep):  # type: ignore[misc]
    """Takes away the remote commands that end, resize or block a worker, unless Flower may act."""

    def __init__(self, parent: Any, **_: Any) -> None:
        for name in set(Panel.data) - COMMANDS:
            del Panel.data[name]


def _sieved(consumer: Any, handle: Callable[[Any], None]) -> Callable[[Any], None]:
    def take(message: Any) -> None:
        try:
            why = flaw(message, consumer.strategies, longest_s=consumer.app.conf.task_time_limit)
            if not why:
                handle(message)
                return
        except KeyError:  # kombu takes it for a lost connection
            why = "a field is missing"
        except consumer.connection_errors:
            raise
        except Exception as error:
            why = f"it can't be read: {type(error).__name__}"
        _drop(message, why)

    return take


def _drop(message: Any, why: str) -> None:
    log.warning("message_dropped", why=why)
    message.reject()


def flaw(message: Any, tasks: Mapping[str, Any], *, longest_s: float) -> str:
    """Why a message is none of ours; empty when it is one. May raise anything for one that can't be decoded."""
    headers = message.headers
    if not isinstance(headers, Mapping) or not isinstance(headers.get("id"), str):
        return "its headers are not Celery's"
    if headers.get("task") not in tasks:
        return "it is for no task of this worker"
    if len(message.body or b"") > LONGEST_BYTES:
        return f"it has more than {LONGEST_BYTES} bytes"
    if headers.get("eta") is not None:
        return "it is for later, and the broker carries what is for now"
    if not _are_limits(headers.get("timelimit"), longest_s):
        return "it sets time limits of its own"
    payload = message.payload
    if not isinstance(payload, list) or [type(part) for part in payload] != [list, dict, dict]:
        return "its body is not (args, kwargs, embed)"
    return ""


def _are_limits(value: Any, longest_s: float) -> bool:
    """Whether these are a task's (hard, soft) limits, and none is over our own."""
    if value is None:
        return True
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(one is None or (type(one) in (int, float) and 0 < one <= longest_s) for one in value)
    )
