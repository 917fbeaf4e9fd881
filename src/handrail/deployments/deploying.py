"""`handrail.deploy`: names, files, folders and values become APIs that answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from handrail.core.errors import HandrailError
from handrail.core.events import Said, Tell, quiet
from handrail.core.files import drafted_folder
from handrail.deploy.plan import Actual, Desired, plan
from handrail.deploy.spec import ApiSpec, Share, spec_from
from handrail.deployments.acts import acted, traffic
from handrail.deployments.asked import Asked, Replicas, What, asked_for
from handrail.deployments.classes import GivenClass, class_given
from handrail.deployments.trust import Agree, refuse_untrusted
from handrail.deployments.turns import in_turn
from handrail.engines.local.client import is_running
from handrail.engines.local.place import Place
from handrail.engines.local.start import ensure_running
from handrail.predictors.project import code_of, snapshot
from handrail.store import Store, split_reference
from handrail.store.deployments import Deployments, Revision

# How long a deploy waits for another one.
PATIENCE_S: Final = 600.0
LOCK: Final = Path("run", "deploy.lock")
PROJECTS: Final = "projects"


@dataclass(frozen=True)
class Deployed:
    """What a deploy did, and how the APIs that it named stand now.

    `steps` are `{"do": "create", "api": "reviews", "why": [...]}`; `apis` are as `status` has them.
    """

    steps: tuple[Mapping[str, Any], ...]
    apis: tuple[Mapping[str, Any], ...]

    @property
    def urls(self) -> dict[str, str]:
        """Where each API answers, by name."""
        return {api["name"]: api["url"] for api in self.apis}


def deploy(
    *what: What, predictor: type | None = None, requirements: Sequence[str] = (),
    config: Mapping[str, Any] | None = None, replicas: int | None = None, min_replicas: int | None = None,
    max_replicas: int | None = None, prune: bool = False, dry_run: bool = False, wait: bool = True,
    trust: bool | Agree = False, host: str | None = None, port: int | None = None, home: Path | None = None,
    tell: Tell = quiet,
) -> Deployed:  # fmt: skip
    """Deploys models (`"reviews"`, `"reviews@3"`), files (`"handrail.yaml"`), folders and ApiSpecs; without any: the
    file in this folder. Comes back when they answer, or with `wait=False` when the engine knows of them.

    With `predictor`, a class of yours, the one name is its API's: the class is taken from where it stands, with
    `requirements` to install and the `config` that it gets. A model's name keeps what its API was given before, its
    replicas for example, unless they are given here. `prune` deletes the APIs that the file does not name. `dry_run`
    says the steps and does nothing. A folder of code runs with your rights: `trust` says that you want that. `host`
    and `port` are the engine's, if it does not run yet (as it last was, else 127.0.0.1 and 8080).
    """
    store = Store(home, tell=tell)
    wanted = Replicas(replicas, min_replicas, max_replicas)
    asked, folders = _copied(what, class_given(predictor, requirements, config), wanted, store)
    _refuse_prune(asked, prune)
    for note in asked.notes:
        tell(Said(note))
    request = {
        "do": "deploy", "apis": [spec.as_dict() for spec in asked.specs],
        "folders": {name: str(folder) for name, folder in folders.items()},
        "prune": prune, "dry_run": dry_run, "wait": wait,
    }  # fmt: skip
    place = Place(store.home)
    if dry_run:
        steps = acted(request, home, tell)["steps"] if is_running(place) else _planned(asked, folders, store, prune)
        return Deployed(tuple(steps), ())
    projects = [(asked.projects[name], code_of(folder)) for name, folder in folders.items()]
    agree = trust if callable(trust) else lambda _: bool(trust) or predictor is not None
    refuse_untrusted(store.home, projects, agree)
    with in_turn(store.home / LOCK, patience_s=PATIENCE_S if wait else 0.0, tell=tell):
        ensure_running(place, host=host, port=port, tell=tell)
        return _deployed(acted(request, home, tell), asked)


def try_out(
    reference: str, percent: float, *, shadow: bool, home: Path | None = None, tell: Tell = quiet
) -> tuple[str, dict[str, Any]]:
    """Gives another version of a model (`reviews@4`) a part of its API's requests, as a canary, or copies of them.

    Which version that is, and how the API stands then.
    """
    store = Store(home, tell=tell)
    name, _ = split_reference(reference)
    folder = store.find(reference)
    version = f"{name}@{folder.name}"
    served = _served(store.home, name, reference)
    if Path(served.folder) == folder:
        mend = f"handrail models lists the versions: handrail deploy {name}@N --canary 10"
        raise HandrailError("usage", f"{version} is what '{name}' serves already", mend)
    others = [share for share in spec_from(served.spec).traffic if share.name not in (reference, version)]
    return version, traffic(name, [*others, Share(version, percent, shadow=shadow)], home=home, tell=tell)


def _served(home: Path, name: str, reference: str) -> Revision:
    served = Deployments(home).served(name)
    if served is None:
        problem = f"there is no API '{name}' yet that could share its requests with {reference}"
        mend = f"handrail deploy {name}@N, then this; for an API of another name: handrail traffic API {reference}=10"
        raise HandrailError("not_found", problem, mend)
    return served


def _refuse_prune(asked: Asked, prune: bool) -> None:
    if prune and not asked.from_file:
        mend = "leave --prune out, or name a file: handrail deploy handrail.yaml --prune"
        raise HandrailError("usage", "only a file says which APIs there should be", mend, field="prune")


def _copied(
    what: Sequence[What], given: GivenClass | None, wanted: Replicas, store: Store
) -> tuple[Asked, dict[str, Path]]:
    """What is asked for, and the copies of its code."""
    if given is None:
        asked = asked_for(what, wanted, store)
        return asked, _copies(asked, store.home)
    spec = given.spec(what)
    with drafted_folder(store.home / PROJECTS) as project:
        given.write(project)
        asked = replace(asked_for((spec,), wanted, store), projects={spec.name: project})
        folders = _copies(asked, store.home)
    return replace(asked, projects=folders), folders


def _copies(asked: Asked, home: Path) -> dict[str, Path]:
    """For each API that runs code a copy of its folder as it is now, by name."""
    specs = {spec.name: spec.as_dict() for spec in asked.specs}
    return {name: snapshot(folder, home / PROJECTS, specs[name]) for name, folder in asked.projects.items()}


def _planned(asked: Asked, folders: Mapping[str, Path], store: Store, prune: bool) -> list[dict[str, Any]]:
    """The steps that the engine would take, were it running."""
    from handrail.engines.local.versions import model_target  # noqa: PLC0415 - rarely needed, and it takes a while

    def digest(spec: ApiSpec) -> str:
        if spec.name in folders:
            return folders[spec.name].name
        return "" if spec.model is None else model_target(spec.model, store.home).digest

    kept = Deployments(store.home)
    served = [revision for name in kept.apis() if (revision := kept.served(name)) is not None]
    desired = [Desired(spec, digest(spec)) for spec in asked.specs]
    actual = [Actual(spec_from(revision.spec), revision.digest) for revision in served]
    return [asdict(step) for step in plan(desired, actual, prune)]


def _deployed(answer: Mapping[str, Any], asked: Asked) -> Deployed:
    named = {spec.name for spec in asked.specs}
    apis = tuple(api for api in answer.get("apis", ()) if api.get("name") in named)
    return Deployed(tuple(answer.get("steps", ())), apis)
