"""Logging of every process: one JSON line per event, to stderr or a file; constant event names, data in keywords."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

import structlog


def set_up(process: str, output: TextIO | None = None) -> None:
    """Set up logging once per process; to stderr unless said otherwise."""
    output = output or sys.stderr
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(output),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process)
    logging.basicConfig(
        level=logging.WARNING, stream=output, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True
    )
