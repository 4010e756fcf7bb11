"""The report: one self-contained page, made from the files of a run or a sweep.

Everything on it comes from those files, so anyone can write it again at any time.
"""

from otherview.views.report.page import report_html, write_report

__all__ = ["report_html", "write_report"]
