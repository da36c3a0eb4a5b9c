"""A dictionary that works out what it lacks: one look-up for what is known, and for what is not."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

Key = TypeVar("Key")
Value = TypeVar("Value")


class Learned(dict[Key, Value], Generic[Key, Value]):
    """Values by their keys; a key that is not there is worked out and remembered. Whoever owns it bounds it."""

    @abstractmethod
    def work_out(self, key: Key) -> Value:
        """The value of a key that is not there yet."""

    def __missing__(self, key: Key) -> Value:
        value = self[key] = self.work_out(key)
        return value

    def of(self, keys: Iterable[Key]) -> list[Value]:
        """The value of each of `keys`."""
        return list(map(self.__getitem__, keys))
