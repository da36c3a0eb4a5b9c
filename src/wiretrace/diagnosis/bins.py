"""Records in files, sorted into bins as they come: what is in memory is one bin.

Rules: a bin is read whole, so whoever fills it sees to it that it does not become large. Records come back in the order in
which they were added.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray


class Bins:
    """Bins of records of one type. Raises OSError where they can not be written or read."""

    def __init__(self, folder: Path, name: str, kind: np.dtype[np.void], count: int) -> None:
        self._folder = folder
        self._name = name
        self._kind = kind
        self.count = count
        """How many bins there are."""

    def add(self, records: NDArray[np.void], bins: NDArray[np.integer[Any]]) -> None:
        """Put records into their bins. Shapes (n,)."""
        order = np.argsort(bins, kind="stable")
        ordered = bins[order]
        bounds = np.searchsorted(ordered, np.arange(self.count + 1))
        for number in np.unique(ordered).tolist():
            with self._file(number).open("ab") as file:
                _write(records[order[bounds[number] : bounds[number + 1]]], file)

    def take(self, number: int) -> NDArray[np.void]:
        """The records of a bin, which is empty from then on."""
        found = self.read(number)
        self._file(number).unlink(missing_ok=True)
        return found

    def read(self, number: int) -> NDArray[np.void]:
        """The records of a bin."""
        path = self._file(number)
        return np.fromfile(path, self._kind) if path.exists() else np.zeros(0, self._kind)

    def put(self, number: int, records: NDArray[np.void]) -> None:
        """Fill an empty bin."""
        with self._file(number).open("wb") as file:
            _write(records, file)

    def __iter__(self) -> Iterator[NDArray[np.void]]:
        return (self.read(number) for number in range(self.count))

    def _file(self, number: int) -> Path:
        return self._folder / f"{self._name}.{number}"


def _write(records: NDArray[np.void], file: BinaryIO) -> None:
    """Append records to a file. Unlike `tofile`, this says why where it can not."""
    file.write(np.ascontiguousarray(records).view(np.uint8).data)
