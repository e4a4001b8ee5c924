"""Every figure, in one place. Each function returns a matplotlib figure; figure.savefig(path) writes it."""

from minicnn.plots.architecture import architectures
from minicnn.plots.class_curves import class_curves
from minicnn.plots.confusion import confusion_matrix
from minicnn.plots.contact_sheet import contact_sheet
from minicnn.plots.curves import learning_curves
from minicnn.plots.images import feature_maps, filters, predictions
from minicnn.plots.style import Picture

__all__ = [
    "Picture",
    "architectures",
    "class_curves",
    "confusion_matrix",
    "contact_sheet",
    "feature_maps",
    "filters",
    "learning_curves",
    "predictions",
]
