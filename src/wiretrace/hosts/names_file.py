"""Reads a names file: TOML with one table a service, as `[service.shop]` with `ends`, `owner` and `external`."""

from pathlib import Path

import msgspec

from wiretrace.model.errors import UserError
from wiretrace.model.service_marks import ServiceMarks

MOST_BYTES = 16 << 20
"""Longest file that is believed to be a names file."""


class NamesFile(msgspec.Struct, forbid_unknown_fields=True):
    """The whole file."""

    service: dict[str, ServiceMarks] = {}


def read_names(path: Path) -> dict[str, ServiceMarks]:
    """The services by name. Raises UserError where the file can not be read, or is no names file."""
    try:
        with path.open("rb") as file:
            text = file.read(MOST_BYTES)
    except OSError as error:
        raise UserError(f"{path}: can not be read: {error.strerror}") from None
    try:
        return msgspec.toml.decode(text, type=NamesFile).service
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a names file: {' '.join(str(error).split())}") from None


def service_of_end(names: dict[str, ServiceMarks]) -> dict[str, str]:
    """The service of each end that the file names, as it is written there."""
    return {end: service for service, marks in names.items() for end in marks.ends}
