"""Single-file HTML reports with charts as SVG."""

from backstay.report.build import build_report
from backstay.report.data import ReportData, ReportMeta, StageMeta, StageRun, load_report_data
from backstay.report.settings import ReportSettings

__all__ = [
    "ReportData",
    "ReportMeta",
    "ReportSettings",
    "StageMeta",
    "StageRun",
    "build_report",
    "load_report_data",
]
