"""Every figure, in one place. Each function returns a matplotlib figure; figure.savefig(path) writes it."""

from minicnn.plots.architecture import architectures
from minicnn.plots.class_curves import class_curves
from minicnn.plots.comparison import compared_curves
from minicnn.plots.confusion import confusion_matrix
from minicnn.plots.contact_sheet import contact_sheet
from minicnn.plots.curves import learning_curves
from minicnn.plots.depth import by_depth, layer_timings
from minicnn.plots.images import feature_maps, filters, predictions
from minicnn.plots.inputs import network_input
from minicnn.plots.lr_sweep import lr_sweep
from minicnn.plots.style import Picture
from minicnn.plots.sweep import sweep_results

__all__ = [
    "Picture",
    "architectures",
    "by_depth",
    "class_curves",
    "compared_curves",
    "confusion_matrix",
    "contact_sheet",
    "feature_maps",
    "filters",
    "layer_timings",
    "learning_curves",
    "lr_sweep",
    "network_input",
    "predictions",
    "sweep_results",
]
