"""What a deployment is asked to be, what there is, and the steps from one to the other. Nothing here runs anything."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any


class _Deploy(ModuleType):
    """`handrail.deploy` is the verb in Python, too. Importing a module from here would put this package in its place,
    so the package may be called."""

    def __call__(self, *what: Any, **options: Any) -> Any:
        return importlib.import_module("handrail.deployments").deploy(*what, **options)


sys.modules[__name__].__class__ = _Deploy
