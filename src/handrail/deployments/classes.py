"""A class that is given to `handrail.deploy` itself, as a project: its code in a file, its packages in another."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from handrail.core.errors import HandrailError
from handrail.core.files import write_text
from handrail.deploy.spec import ApiSpec, Kind, Predictor
from handrail.deployments.asked import What
from handrail.deployments.taking import code_of_class

FILE: Final = "predictor.py"
REQUIREMENTS: Final = "requirements.txt"


@dataclass(frozen=True)
class GivenClass:
    """A class of the user's, the packages that it needs, and what its `__init__` gets."""

    kind: type
    requirements: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)

    def spec(self, what: Sequence[What]) -> ApiSpec:
        """The API that it becomes. `what`: its name, or all that is known of it but for the class."""
        if len(what) != 1 or not isinstance(what[0], str | ApiSpec):
            raise HandrailError(
                "usage", "with predictor= there is one name", 'handrail.deploy("reviews", predictor=PythonPredictor)'
            )
        asked = what[0]
        kind: Kind = "TaskAPI" if self._is_task() else "RealtimeAPI"
        spec = asked if isinstance(asked, ApiSpec) else ApiSpec(asked, kind=kind)
        if spec.model is not None:
            raise HandrailError("usage", f"'{spec.name}' cannot be a model and a class", "leave one of them out")
        named = replace(spec.predictor or Predictor(FILE), path=FILE, class_name=self.kind.__name__)
        return replace(spec, predictor=replace(named, config={**named.config, **self.config}))

    def write(self, project: Path) -> None:
        """Its files, in an empty folder."""
        write_text(project / FILE, code_of_class(self.kind))
        if self.requirements:
            write_text(project / REQUIREMENTS, "".join(f"{line}\n" for line in self.requirements))

    def _is_task(self) -> bool:
        return not hasattr(self.kind, "predict") and any("__call__" in vars(one) for one in self.kind.__mro__)


def class_given(
    predictor: type | None, requirements: Sequence[str], config: Mapping[str, Any] | None
) -> GivenClass | None:
    """The class, where one is given. Raises HandrailError ("usage") for what is no class or no list of packages."""
    if predictor is None:
        if requirements or config:
            raise HandrailError("usage", "requirements and config are for a class", "predictor=PythonPredictor")
        return None
    if not inspect.isclass(predictor):
        problem = f"predictor must be a class, received {type(predictor).__name__}"
        raise HandrailError("usage", problem, "predictor=PythonPredictor, without brackets", field="predictor")
    if isinstance(requirements, str) or not all(isinstance(one, str) and "\n" not in one for one in requirements):
        problem = "requirements must be a list of texts, one for each package"
        raise HandrailError("usage", problem, 'requirements=["nltk==3.9"]', field="requirements")
    return GivenClass(predictor, tuple(requirements), dict(config or {}))
