"""Imports: hh-rlhf, TRL, production traffic, tables with rater ids; parsed first, then stored whole or refused."""

from backstay.feedback.importing.hh_rlhf import read_hh_rlhf
from backstay.feedback.importing.lines import ReadLimits
from backstay.feedback.importing.parsed import ParsedImport, split_of
from backstay.feedback.importing.production import read_production
from backstay.feedback.importing.storing import ImportReport, import_into
from backstay.feedback.importing.table import TableSettings, read_table
from backstay.feedback.importing.trl import read_trl

__all__ = [
    "ImportReport",
    "ParsedImport",
    "ReadLimits",
    "TableSettings",
    "import_into",
    "read_hh_rlhf",
    "read_production",
    "read_table",
    "read_trl",
    "split_of",
]
