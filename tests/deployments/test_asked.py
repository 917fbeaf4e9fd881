"""What is deployed by a name, a file, a folder or a value, and what a name keeps of what was there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from handrail.core.errors import HandrailError
from handrail.deploy.spec import ApiSpec, Autoscaling, Predictor, Share
from handrail.deployments.asked import Asked, Replicas, asked_for
from handrail.store import Store
from handrail.store.deployments import Deployments
from tests.serve.bundles import publish


@pytest.fixture
def store(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Two versions of "churn"; the working folder is an empty one."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    store = Store(home)
    for _ in range(2):
        publish(store)
    return store


def asked(store: Store, *what: Any, **replicas: int) -> Asked:
    return asked_for(what, Replicas(**replicas), store)


def served(store: Store, spec: ApiSpec) -> None:
    kept = Deployments(store.home)
    kept.promote(spec.name, kept.propose(spec.name, spec.as_dict(), "", "").number)


def refusal(store: Store, *what: Any, **replicas: int) -> HandrailError:
    with pytest.raises(HandrailError) as caught:
        asked(store, *what, **replicas)
    return caught.value


@pytest.mark.parametrize("reference", ["churn", "churn@1"])
def test_a_models_name_is_an_api_of_that_name(reference: str, store: Store) -> None:
    assert asked(store, reference) == Asked((ApiSpec("churn", model=reference),))


def test_an_alias_is_a_name(store: Store) -> None:
    store.alias("churn", "good", 1)
    assert asked(store, "churn@good").specs[0].model == "churn@good"


def test_a_name_keeps_what_its_api_was_given(store: Store) -> None:
    before = ApiSpec("churn", model="churn@1", autoscaling=Autoscaling(min_replicas=3, max_replicas=5), port=9000)
    served(store, before)
    (spec,) = asked(store, "churn@2").specs
    assert spec == ApiSpec("churn", model="churn@2", autoscaling=before.autoscaling, port=9000)


def test_a_canary_that_is_deployed_is_one_no_more(store: Store) -> None:
    shares = (Share("churn@2", 10.0), Share("gone@1", 5.0), Share("churn@1", 5.0))
    served(store, ApiSpec("churn", model="churn@1", traffic=shares))
    (spec,) = asked(store, "churn@2").specs
    assert spec.traffic == (Share("churn@1", 5.0),)


def test_a_name_replaces_an_api_that_ran_code(store: Store) -> None:
    served(store, ApiSpec("churn", predictor=Predictor("predictor.py"), port=9000))
    assert asked(store, "churn").specs == (ApiSpec("churn", model="churn"),)


@pytest.mark.parametrize(
    ("before", "given", "after"),
    [
        ((1, 2), {"exactly": 4}, (4, 4)),
        ((1, 2), {"exactly": 0}, (0, 2)),
        ((1, 2), {"least": 0}, (0, 2)),
        ((1, 2), {"least": 3}, (3, 3)),
        ((2, 4), {"most": 1}, (1, 1)),
        ((1, 2), {"least": 2, "most": 8}, (2, 8)),
    ],
)
def test_replicas_are_given_as_a_number_or_a_range(
    before: tuple[int, int], given: dict[str, int], after: tuple[int, int], store: Store
) -> None:
    served(store, ApiSpec("churn", model="churn@1", autoscaling=Autoscaling(*before)))
    scaling = asked(store, "churn", **given).specs[0].autoscaling
    assert (scaling.min_replicas, scaling.max_replicas) == after


def test_replicas_that_contradict_each_other_are_refused(store: Store) -> None:
    assert "as a number and as a range" in refusal(store, "churn", exactly=1, most=2).problem
    assert "cannot both be" in refusal(store, "churn", least=3, most=2).problem


@pytest.mark.parametrize("name", ["handrail.yaml", "cortex.yaml", "mine.yml"])
def test_a_file_is_read(name: str, store: Store, tmp_path: Path) -> None:
    path = tmp_path / name
    if name == "cortex.yaml":
        (tmp_path / "predictor.py").write_text("class PythonPredictor: ...\n")
        path.write_text("- name: iris\n  kind: RealtimeAPI\n  predictor: {type: python, path: predictor.py}\n")
    else:
        path.write_text("- name: reviews\n  model: churn\n")
    found = asked(store, str(path))
    assert found.from_file
    assert found.projects == ({"iris": tmp_path} if name == "cortex.yaml" else {})
    assert asked(store, path) == found


def test_without_a_word_the_file_of_this_folder_is_meant(store: Store) -> None:
    assert "no handrail.yaml" in refusal(store).problem
    Path("handrail.yaml").write_text("- model: churn\n")
    found = asked(store)
    assert [spec.name for spec in found.specs] == ["churn"]
    assert asked(store, ".") == found


def test_a_folder_may_be_a_bundle(store: Store) -> None:
    folder = store.find("churn@1")
    (spec,) = asked(store, str(folder)).specs
    assert (spec.name, spec.model) == ("churn", str(folder))


def test_a_value_is_taken_as_it_is(store: Store) -> None:
    code = ApiSpec("iris", predictor=Predictor("predictor.py"))
    found = asked(store, code, ApiSpec("b", model="churn"))
    assert found.specs == (code, ApiSpec("b", model="churn"))
    assert found.projects == {"iris": Path.cwd()}


def test_what_is_not_there_is_named_with_what_is_near(store: Store) -> None:
    error = refusal(store, "chrun")
    assert error.code == "not_found"
    assert "churn" in error.mend
    assert "it has 1, 2" in refusal(store, "churn@7").mend


def test_a_folder_with_a_file_is_pointed_at(store: Store) -> None:
    Path("shop").mkdir()
    Path("shop", "handrail.yaml").write_text("- model: churn\n")
    assert "handrail deploy ./shop" in refusal(store, "shop").mend


@pytest.mark.parametrize("what", ["a\0b", "../x y", "./nothing", "nothing.yaml", "UPPER", "-", "", "x" * 5_000])
def test_what_is_nothing_is_refused_in_words(what: str, store: Store) -> None:
    assert refusal(store, what).exit_status in (2, 3, 4)


def test_an_api_is_asked_for_once(store: Store) -> None:
    assert "'churn' is asked for twice" in refusal(store, "churn@1", "churn@2").problem


def test_a_file_says_how_many_replicas_itself(store: Store) -> None:
    Path("handrail.yaml").write_text("- model: churn\n")
    assert "autoscaling:" in refusal(store, "handrail.yaml", exactly=2).mend
