"""Decide which requests to the API are repeated, as client-go does.

A read is repeated after a lost connection and after 429 or 503. A write is repeated only after 429
or 503 with the header Retry-After: the API server sends it when it has not begun the request.
"""

from __future__ import annotations

from typing import Any

import urllib3

# With the pauses between them these take about six seconds: by then a proxy in front of the API
# servers has found a server that works.
CONNECTIONS = 4
# The most repetitions for a busy server, and the most seconds to wait before each. The run renews
# its lock through the same client, so the sum stays far below the duration of the Lease.
BUSY, LONGEST_WAIT_S = 5, 3.0
PAUSE_S = 0.4
TOO_MANY_REQUESTS, UNAVAILABLE = 429, 503


class BoundedRetry(urllib3.Retry):  # type: ignore[misc]
    """Retries that wait at most ``LONGEST_WAIT_S`` seconds, whatever the server requests."""

    def get_retry_after(self, response: Any) -> float | None:
        """Return the seconds of the header Retry-After, bounded, or None without the header."""
        seconds = super().get_retry_after(response)
        return None if seconds is None else min(float(seconds), LONGEST_WAIT_S)

    def get_backoff_time(self) -> float:
        """Return the seconds to wait if the server names none."""
        return min(float(super().get_backoff_time()), LONGEST_WAIT_S)


class ReadRetry(BoundedRetry):
    """Retries of a read."""

    def is_retry(self, method: str, status_code: int, has_retry_after: bool = False) -> bool:
        """Return whether the server is busy."""
        return status_code in (TOO_MANY_REQUESTS, UNAVAILABLE)


class WriteRetry(BoundedRetry):
    """Retries of a write."""

    def is_retry(self, method: str, status_code: int, has_retry_after: bool = False) -> bool:
        """Return whether the server is busy and has not begun the request."""
        return has_retry_after and status_code in (TOO_MANY_REQUESTS, UNAVAILABLE)


def of_reads() -> urllib3.Retry:
    """Return the retries of a read."""
    return _retries(ReadRetry, CONNECTIONS, BUSY)


def of_writes() -> urllib3.Retry:
    """Return the retries of a write: after a lost answer its result is unknown."""
    return _retries(WriteRetry, 0, BUSY)


def of_probes() -> urllib3.Retry:
    """Return the retries of a health endpoint, whose refusal is the answer."""
    return _retries(urllib3.Retry, CONNECTIONS, 0)


def of_questions() -> urllib3.Retry:
    """Return the retries of a request whose refusals the caller distinguishes: none.

    An eviction that a disruption budget blocks is answered 429 as well.
    """
    return _retries(urllib3.Retry, 0, 0)


def _retries(kind: type[urllib3.Retry], connections: int, busy: int) -> urllib3.Retry:
    """Return retries after lost connections and of a busy server, whose last answer is returned."""
    return kind(
        total=None,
        connect=connections,
        read=connections,
        other=connections,
        redirect=0,
        status=busy,
        backoff_factor=PAUSE_S,
        raise_on_status=False,
    )
