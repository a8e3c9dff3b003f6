"""A token bucket, which limits the rate of requests. Pure.

Source: https://pkg.go.dev/golang.org/x/time/rate, which exporter-toolkit uses.
"""

from __future__ import annotations

from exporter.web.auth.toolkit_schema import RateLimitConfig


class TokenBucket:
    """Full at the start; a request takes a token, and each ``interval`` brings one."""

    def __init__(self, limit: RateLimitConfig, *, now: float) -> None:
        self._limit = limit
        self._tokens = float(limit.burst)
        self._filled_at = now

    def take(self, now: float) -> bool:
        """Take a token, or return False if there is none; ``now`` is in seconds."""
        earned = (now - self._filled_at) / self._limit.interval.total_seconds()
        self._tokens = min(self._tokens + max(earned, 0.0), float(self._limit.burst))
        self._filled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
