"""A simulated package repository: its packages, in the order of arrival.

A package keeps its number when others come and go. A listing that is read page by page therefore continues at
the right package, and a package that is deleted and downloaded again appears a second time.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import TypeAlias


class Absent(Enum):
    """The value of a field that the record does not have."""

    ABSENT = "absent"
    """The only member."""


ABSENT = Absent.ABSENT
DEFAULT_CREATE_TIME = "2019-02-04T19:00:00+00:00"


@dataclass(frozen=True, slots=True)
class Package:
    """One package of a repository.

    Attributes:
        version: Its version; None makes a record with `"version": null`.
        create_time: Any JSON value, given as it is; a datetime, written as ONTAP does; or ABSENT for a record
            without it.
    """

    version: str | None
    create_time: object = DEFAULT_CREATE_TIME

    @property
    def record(self) -> dict[str, object]:
        """The record with all its fields.

        Source: https://docs.netapp.com/us-en/ontap-restapi/get-cluster-software-packages.html
        """
        if isinstance(self.create_time, Absent):
            return {"version": self.version}
        if isinstance(self.create_time, datetime):
            return {"version": self.version, "create_time": self.create_time.isoformat(timespec="seconds")}
        return {"version": self.version, "create_time": self.create_time}


PackageLike: TypeAlias = "Package | str | tuple[str, object]"
"""A package, or its version, or its version and its create_time."""


class Repository:
    """The packages of one cluster, in the order of arrival."""

    def __init__(self, packages: Iterable[PackageLike]) -> None:
        self._packages: dict[int, Package] = {}
        self._last_number = 0
        for package in packages:
            self.add(package)

    @property
    def packages(self) -> tuple[Package, ...]:
        """The packages, oldest arrival first."""
        return tuple(self._packages.values())

    @property
    def numbered(self) -> tuple[tuple[int, Package], ...]:
        """The packages with their numbers: later arrivals have greater ones."""
        return tuple(self._packages.items())

    def add(self, package: PackageLike) -> None:
        """Put a package at the end."""
        if isinstance(package, str):
            package = Package(package)
        elif isinstance(package, tuple):
            package = Package(*package)
        self._last_number += 1
        self._packages[self._last_number] = package

    def find(self, version: str) -> Package | None:
        """The first package of that version."""
        return next((package for package in self._packages.values() if package.version == version), None)

    def remove(self, version: str) -> bool:
        """Take every package of that version out; return whether there was one."""
        gone = [number for number, package in self._packages.items() if package.version == version]
        for number in gone:
            del self._packages[number]
        return bool(gone)
