"Which parts does a 3-D shape have, when nobody labelled anything? The names below load their module when first asked for."
from importlib import import_module

__version__ = "0.1.0"

_WHERE = {
    "segment": "parts.segment", "load_mesh": "geometry.loading", "signed_distance": "geometry.distance",
    "probe_shapes": "geometry.shapes", "random_compound": "geometry.shapes", "DeepSDF": "field.decoder",
    "ProjectionHead": "distill.head", "DINOLoss": "distill.losses", "rand_index_error": "evaluate.metrics"}
__all__ = list(_WHERE)


def __getattr__(name):
    if name not in _WHERE: raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)


def __dir__(): return sorted([*globals(), *_WHERE])
