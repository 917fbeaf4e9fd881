"""What acts on deployed APIs share: their steps told on the way, and one line or one object at the end."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from handrail.core.errors import HandrailError, clipped
from handrail.core.events import Tell
from handrail.faces.cli.printing import put, put_json

Act = Callable[[Tell], Mapping[str, Any]]


def put_act(name: str, act: Act, done: str, already: str, *, as_json: bool) -> None:
    """Carries out an act on an API and says that it is done, or that it was so already.

    Both texts may hold fields of how the API stands: `{name} is at revision {revision}`.
    """
    from handrail.faces.cli.drawing import tell_plainly

    before = _asked_of(name)
    after = act(tell_plainly)
    changed = before != _asked_of(name)
    if as_json:
        put_json({"changed": changed, "api": after})
    else:
        put((done if changed else already).format(**after))


def _asked_of(name: str) -> object:
    """What an API is asked to be, and what its model holds."""
    from handrail.store.deployments import Deployments
    from handrail.store.home import default_home

    served = Deployments(default_home()).served(name)
    return served and (served.spec, served.digest)


def percent(option: str, text: str) -> float:
    """10, 0.5, 10% → a part of a hundred."""
    found = re.fullmatch(r"(\d{1,3}(?:\.\d{1,3})?)\s?%?", text.strip(), re.ASCII)
    if found is None or not 0 < float(found[1]) <= 100:
        problem = f"{option.rstrip('=')} must be a percentage above 0, up to 100, received '{clipped(text, 60)}'"
        raise HandrailError(
            "usage", problem, f"for example {option}{'' if option.endswith('=') else ' '}10", field=option.strip("-=")
        )
    return float(found[1])
