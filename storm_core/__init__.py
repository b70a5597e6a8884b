"""The Storm recipe as a library: self-curation, targeted fine-tuning, merging, quantization and evaluation.

`import storm_core as storm`, then `storm.scan(model)`: docs/library.md. The import loads nothing; a name is loaded when
it is first used.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from storm_core.errors import InputError as InputError
    from storm_core.errors import StoreError as StoreError
    from storm_core.library.interpolation import slerp as slerp
    from storm_core.library.model import Model as Model
    from storm_core.library.model_stages import fetch as fetch
    from storm_core.library.model_stages import merge as merge
    from storm_core.library.model_stages import quantize as quantize
    from storm_core.library.scan import Scan as Scan
    from storm_core.library.scan import scan as scan
    from storm_core.library.verdicts import Verdicts as Verdicts
    from storm_core.library.verdicts import score as score

__version__ = "0.1.0"

# Each name, and the module that has it: the same as above, for those who run the code. No stage may use one of them:
# what this module leads to is no part of a stage's code (`storm_core.source_imports`).
_MODULES = {
    "InputError": "storm_core.errors",
    "Model": "storm_core.library.model",
    "Scan": "storm_core.library.scan",
    "StoreError": "storm_core.errors",
    "Verdicts": "storm_core.library.verdicts",
    "fetch": "storm_core.library.model_stages",
    "merge": "storm_core.library.model_stages",
    "quantize": "storm_core.library.model_stages",
    "scan": "storm_core.library.scan",
    "score": "storm_core.library.verdicts",
    "slerp": "storm_core.library.interpolation",
}
__all__ = ["__version__", *_MODULES]  # noqa: PLE0604 (names, spread)

# Hidden from type checkers: to them a module with this function has every name.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """The name of the library that was asked for; called by Python for what is not here yet."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        import importlib

        globals()[name] = found = getattr(importlib.import_module(_MODULES[name]), name)
        return found


def __dir__() -> list[str]:
    """What there is, loaded or not."""
    return sorted({*globals(), *__all__})
