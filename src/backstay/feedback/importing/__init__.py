"""Imports: preference data in other tools' formats; read and checked first, then stored whole or refused."""

from backstay.feedback.importing.answered_fields import FieldSettings
from backstay.feedback.importing.argilla import read_argilla
from backstay.feedback.importing.hh_rlhf import read_hh_rlhf
from backstay.feedback.importing.judged import split_of
from backstay.feedback.importing.label_studio import read_label_studio
from backstay.feedback.importing.lines import ReadLimits
from backstay.feedback.importing.parsed import ParsedImport
from backstay.feedback.importing.problems import Problem
from backstay.feedback.importing.production import read_production
from backstay.feedback.importing.storing import ImportReport, import_into
from backstay.feedback.importing.streaming import (
    ImportFormat,
    ImportSettings,
    StagedImport,
    import_stream,
    stage_import,
)
from backstay.feedback.importing.table import TableSettings, read_table
from backstay.feedback.importing.trl import read_trl
from backstay.feedback.importing.ultrafeedback import read_ultrafeedback

__all__ = [
    "FieldSettings",
    "ImportFormat",
    "ImportReport",
    "ImportSettings",
    "ParsedImport",
    "Problem",
    "ReadLimits",
    "StagedImport",
    "TableSettings",
    "import_into",
    "import_stream",
    "read_argilla",
    "read_hh_rlhf",
    "read_label_studio",
    "read_production",
    "read_table",
    "read_trl",
    "read_ultrafeedback",
    "split_of",
    "stage_import",
]
