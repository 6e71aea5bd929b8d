"""`report.html`: one self-contained page on a workspace, or on two videos that are compared."""

from .comparison import AudioDriven
from .page import write_comparison, write_report

__all__ = ["AudioDriven", "write_comparison", "write_report"]
