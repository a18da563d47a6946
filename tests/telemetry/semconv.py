"""What OpenTelemetry's semantic conventions name, by the package that is generated from them."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from types import ModuleType


def names(package: ModuleType) -> set[str]:
    """All names in a package of attributes, or of metrics."""
    modules = [
        importlib.import_module(f"{package.__name__}.{module.name}")
        for module in pkgutil.iter_modules(package.__path__)
    ]
    found = {
        name for one in modules for name in re.findall(r'"([a-z0-9_.]+)"', inspect.getsource(one))
    }
    assert len(found) > 100
    return found
