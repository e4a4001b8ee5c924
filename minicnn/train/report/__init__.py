"""Reports to look at: one HTML file each, which needs nothing but itself."""

from minicnn.train.report.compare import compare
from minicnn.train.report.run_report import write_report
from minicnn.train.report.timings import LayerTimes, time_layers

__all__ = ["LayerTimes", "compare", "time_layers", "write_report"]
