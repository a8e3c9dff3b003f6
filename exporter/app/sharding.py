"""Decides which of several processes polls and cleans a cluster.

Every cluster belongs to exactly one shard; the order of the clusters does not matter. If the number of shards
grows from n to n + 1, about one cluster in n + 1 moves, always to the new shard.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

AUTO = "auto"
"""Instead of a number: the ordinal at the end of the name of a StatefulSet's pod."""
_ORDINAL_AT_END = re.compile(r"-(\d+)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """One share of the clusters: ``ordinal`` of ``total``, counted from 0; by default, all clusters.

    Raises:
        ValueError: there is no such shard.
    """

    ordinal: int = 0
    total: int = 1

    def __post_init__(self) -> None:
        if self.total < 1:
            raise ValueError(f"there is at least 1 shard, not {self.total}")
        if not 0 <= self.ordinal < self.total:
            last = self.total - 1
            raise ValueError(f"there is no shard {self.ordinal} of {self.total}: they go from 0 to {last}")

    def owns(self, name: str) -> bool:
        """Say whether the cluster of this name is in this shard."""
        return self.total == 1 or shard_of(name, self.total) == self.ordinal


def shard_of(name: str, total: int) -> int:
    """Return the shard, from 0, that a name belongs to: the jump consistent hash of its SHA-256."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    return jump_hash(int.from_bytes(digest[:8]), total)


def jump_hash(key: int, total: int) -> int:
    """Return one of the numbers from 0 to ``total`` - 1 for a key of 64 bits.

    Source: Lamping and Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm", 2014.
    """
    shard, following = 0, 0
    while following < total:
        shard = following
        key = (key * 2862933555777941757 + 1) % 2**64
        following = (shard + 1) * 2**31 // ((key >> 33) + 1)
    return shard


def ordinal_from_pod(environ: Mapping[str, str], *, hostname: str) -> int:
    """Return the ordinal at the end of the pod's name: ``POD_NAME`` if it is set, else the host's name.

    Raises:
        ValueError: the name does not end in ``-`` and a number.
    """
    name = environ.get("POD_NAME") or hostname
    match = _ORDINAL_AT_END.search(name)
    if match is None:
        raise ValueError(f"the pod's name {name!r} does not end in an ordinal, as a StatefulSet's do")
    return int(match[1])
