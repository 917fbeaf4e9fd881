"""What somebody asks to deploy, a model's name, a file, a folder or a value, as the APIs that are meant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from handrail.core.bundle import MANIFEST, open_bundle
from handrail.core.errors import HandrailError
from handrail.deploy.file import FILES, read_any
from handrail.deploy.spec import ApiSpec, Autoscaling, Share, spec_from
from handrail.store import Store, split_reference
from handrail.store.deployments import Deployments

ENDINGS: Final = (".yaml", ".yml")

What = str | Path | ApiSpec


@dataclass(frozen=True)
class Asked:
    """The APIs that are meant. `notes` are what their files gave reason to say, `projects` the folders of those that
    run code, by name, `from_file` whether a file said what there should be.
    """

    specs: tuple[ApiSpec, ...]
    notes: tuple[str, ...] = ()
    projects: Mapping[str, Path] = field(default_factory=dict)
    from_file: bool = False


@dataclass(frozen=True)
class Replicas:
    """How many replicas a command asks for; None: as the model's API has it."""

    exactly: int | None = None
    least: int | None = None
    most: int | None = None

    def __bool__(self) -> bool:
        return (self.exactly, self.least, self.most) != (None, None, None)


def asked_for(what: Sequence[What], replicas: Replicas, store: Store) -> Asked:
    """What is meant by names, files, folders and values; by none of them: the file in this folder.

    Raises HandrailError for what is none of these, is not there, or is named twice.
    """
    parts = [_part(one, store) for one in what or (Path(),)]
    found = Asked(
        tuple(spec for part in parts for spec in part.specs),
        tuple(note for part in parts for note in part.notes),
        {name: project for part in parts for name, project in part.projects.items()},
        any(part.from_file for part in parts),
    )
    _refuse_twice(found.specs)
    if not replicas:
        return found
    if found.from_file:
        mend = "write it into the file: autoscaling: {min_replicas: 1, max_replicas: 4}"
        raise HandrailError("usage", "replicas are for models that are deployed by name", mend, field="replicas")
    return replace(found, specs=tuple(_with_replicas(spec, replicas) for spec in found.specs))


def _part(what: What, store: Store) -> Asked:
    if isinstance(what, ApiSpec):
        return _with_projects((what,), Path.cwd())
    text = str(what)
    if "\0" in text:
        raise HandrailError("usage", "a name or a path holds no NUL", "handrail deploy NAME")
    if text.endswith(ENDINGS):
        return _in_file(Path(text))
    if isinstance(what, Path) or "/" in text or text.startswith("."):
        return _in_folder(Path(text))
    return Asked((_spec_of(text, store),))


def _spec_of(reference: str, store: Store) -> ApiSpec:
    """The API that carries a model's name: with all that it was given before, but for the model."""
    name, _ = split_reference(reference)
    try:
        folder = store.find(reference)
    except HandrailError as error:
        raise _or_file(error, reference) from None
    served = Deployments(store.home).served(name)
    before = ApiSpec(name) if served is None else spec_from(served.spec)
    if before.model is None:
        return ApiSpec(name, model=reference)
    others = tuple(share for share in before.traffic if not _is(folder, share, store))
    return replace(before, model=reference, traffic=others)


def _is(folder: Path, share: Share, store: Store) -> bool:
    """Whether a share is the model in this folder, or one that is gone."""
    try:
        return store.find(share.name) == folder
    except HandrailError:
        return True


def _or_file(error: HandrailError, reference: str) -> HandrailError:
    """The error, or what to type where a folder of that name holds a file to deploy."""
    if any(Path(reference, name).is_file() for name in FILES):
        return HandrailError(
            error.code, error.problem, f"there is a folder of that name: handrail deploy ./{reference}"
        )
    return error


def _in_folder(folder: Path) -> Asked:
    if (folder / MANIFEST).is_file():
        bundle = open_bundle(folder.absolute())
        return Asked((ApiSpec(bundle.manifest.name, model=str(bundle.path)),))
    return _in_file(folder)


def _in_file(path: Path) -> Asked:
    found = read_any(path)
    return replace(_with_projects(found.specs, found.project), notes=tuple(found.notes), from_file=True)


def _with_projects(specs: Sequence[ApiSpec], project: Path) -> Asked:
    return Asked(tuple(specs), projects={spec.name: project for spec in specs if spec.predictor is not None})


def _refuse_twice(specs: Sequence[ApiSpec]) -> None:
    for name, count in Counter(spec.name for spec in specs).items():
        if count > 1:
            raise HandrailError("usage", f"the API '{name}' is asked for twice", "give each API once, or other names")


def _with_replicas(spec: ApiSpec, wanted: Replicas) -> ApiSpec:
    return replace(spec, autoscaling=_scaled(spec.autoscaling, wanted))


def _scaled(now: Autoscaling, wanted: Replicas) -> Autoscaling:
    """As many as are wanted; a bound that is left out gives way to the one that is given."""
    if wanted.exactly is not None:
        if wanted.least is not None or wanted.most is not None:
            mend = "--replicas 2 for a fixed number, --min-replicas 1 --max-replicas 4 for a range"
            raise HandrailError("usage", "replicas are given as a number and as a range", mend, field="replicas")
        # None at all is what an API sleeps with: the first request wakes it, and as many others as are wanted then.
        most = wanted.exactly or now.max_replicas
        return replace(now, min_replicas=wanted.exactly, max_replicas=most, init_replicas=None)
    least = now.min_replicas if wanted.least is None else wanted.least
    most = now.max_replicas if wanted.most is None else wanted.most
    if wanted.least is not None and wanted.most is not None and least > most:
        problem = f"at least {least} replicas and at most {most} cannot both be"
        raise HandrailError("usage", problem, "--min-replicas must not be larger than --max-replicas")
    if wanted.most is None:
        most = max(least, most)
    return replace(now, min_replicas=min(least, most), max_replicas=most, init_replicas=None)
