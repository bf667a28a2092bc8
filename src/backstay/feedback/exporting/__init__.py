"""Exports: judgments in other tools' formats, and screened pairs for TRL."""

from backstay.feedback.exporting.judged import Tally
from backstay.feedback.exporting.pairs import export_pairs
from backstay.feedback.exporting.streaming import (
    ExportFormat,
    ExportReport,
    export_dataset,
    export_judgments,
    export_stream,
)

__all__ = [
    "ExportFormat",
    "ExportReport",
    "Tally",
    "export_dataset",
    "export_judgments",
    "export_pairs",
    "export_stream",
]
