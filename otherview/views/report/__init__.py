"""The report: one page that stands alone, made from the files that a run or a sweep left.

Everything on it comes from those files; it can be written again at any time, by anyone.
"""

from otherview.views.report.page import report_html, write_report

__all__ = ["report_html", "write_report"]
