"""The manifest of a case: what was read, with what settings, by which wiretrace, and where every byte went.

A case is a directory of one Parquet file a table, and `manifest.json`. Nothing in it depends on when or where it was
written: equal inputs give byte-equal cases.
"""

from pathlib import Path

import msgspec

from wiretrace import __version__
from wiretrace.model.analysis import InputFile
from wiretrace.model.errors import UserError

FORMAT = "wiretrace.case"
SCHEMA_VERSION = 1
"""Raised when a table or column changes its meaning; a case of a higher version is not opened."""
MANIFEST_NAME = "manifest.json"
MANIFEST_BYTES = 64 << 20
"""Longest manifest that is believed to be one."""


class Manifest(msgspec.Struct, frozen=True):
    """Contents of `manifest.json`."""

    format: str = FORMAT
    """Always "wiretrace.case"."""
    schema_version: int = SCHEMA_VERSION
    """Version of the tables."""
    wiretrace: str = __version__
    """Version of wiretrace that wrote the case."""
    inputs: list[InputFile] = []
    """Files that were read."""
    settings: dict[str, object] = {}
    """Settings that can change a result; see `Settings.recorded`."""
    accounting: dict[str, int] = {}
    """Where captured payload bytes went; keys are values of `Payload`."""

    @property
    def keeps_values(self) -> bool:
        """Whether captured values were kept readable on the user's demand."""
        return self.settings.get("keep_values") is True

    @classmethod
    def read(cls, case: Path) -> "Manifest":
        """Read the manifest of the case at `case`.

        Raises UserError where there is no case, or one that this version can not read.
        """
        path = case / MANIFEST_NAME
        try:
            if path.exists() and not path.is_file():  # a pipe would be waited for
                raise UserError(f"{case}: not a case: its {MANIFEST_NAME} is no file")
            with path.open("rb") as file:
                text = file.read(MANIFEST_BYTES)
        except (FileNotFoundError, NotADirectoryError):
            if not case.exists():
                raise UserError(f"{case}: no such case; 'wiretrace analyze CAPTURE... -o {case}' makes one") from None
            raise UserError(f"{case}: not a case: it has no {MANIFEST_NAME}") from None
        except OSError as error:
            raise UserError(f"{path}: can not be read: {error.strerror}") from None
        try:
            head = msgspec.json.decode(text, type=dict[str, object])
        except msgspec.MsgspecError:
            raise UserError(f"{path}: damaged: not a JSON object; make the case again") from None
        if head.get("format") != FORMAT:
            raise UserError(f"{case}: not a case: {MANIFEST_NAME} is of another format")
        version = head.get("schema_version")
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise UserError(
                f"{case}: written by a newer wiretrace (tables of version {version}, this one reads {SCHEMA_VERSION}); "
                "upgrade wiretrace, or analyze the captures again"
            )
        try:
            return msgspec.convert(head, cls)
        except msgspec.ValidationError as error:
            raise UserError(f"{path}: damaged: {error}; make the case again") from None

    def encoded(self) -> bytes:
        """The bytes of `manifest.json`: the same for equal manifests."""
        return msgspec.json.format(msgspec.json.encode(self, order="deterministic"), indent=1) + b"\n"
