"""A case in, one self-contained HTML file out."""

from wiretrace.report.writer import write_report

__all__ = ["write_report"]
