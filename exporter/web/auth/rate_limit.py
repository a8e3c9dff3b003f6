"""A token bucket, which limits the rate of requests. Pure.

Source: https://pkg.go.dev/golang.org/x/time/rate, which exporter-toolkit uses.
"""

from __future__ import annotations

from dataclasses import dataclass

from exporter.web.auth.toolkit_schema import RateLimitConfig


@dataclass(slots=True)
class TokenBucket:
    """Full at the start; a request takes a token, and each ``interval`` brings one."""

    limit: RateLimitConfig
    tokens: float
    filled_at: float
    """By the clock of ``take``."""

    @classmethod
    def full(cls, limit: RateLimitConfig, *, now: float) -> TokenBucket:
        """Return a bucket with all its tokens."""
        return cls(limit, float(limit.burst), now)

    def take(self, now: float) -> bool:
        """Take a token, or return False if there is none; ``now`` is in seconds."""
        earned = (now - self.filled_at) / self.limit.interval.total_seconds()
        self.tokens = min(self.tokens + max(earned, 0.0), float(self.limit.burst))
        self.filled_at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True
