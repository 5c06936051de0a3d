"""A package outside this repository can add a recipe, a scorer and a detector, through the hooks the built-ins use."""

from __future__ import annotations

import sys
from collections.abc import Generator
from pathlib import Path
from textwrap import dedent

import pytest

from insource import plugins
from insource.core.errors import UsageError
from insource.core.ports import PrivacyDetector, Recipe, Scorer
from insource.core.values import LocalAnswer, OutputKind, OutputProfile
from tests.fakes.plugins import install

SOURCE = """
from insource.core.ports import Learnt, Refusal
from insource.core.values import LocalAnswer, PrivacySpan


class Fitted:
    def __init__(self, label):
        self._label = label

    def prepare(self, request):
        return LocalAnswer(text=self._label, confidence=0.5)

    def read(self, completion):
        raise NotImplementedError

    def artifact(self):
        return self._label.encode()


class Majority:
    name, effort = "majority", 1
    learns, asks_model, trains, streams, honours = True, False, False, False, frozenset()

    def refusal(self, output, examples):
        return None if examples else Refusal(reason="There is no example.", examples_needed=1)

    def fit(self, output, examples, *, seed):
        return Learnt(fitted=Fitted(max(output.labels)))

    def load(self, artifact):
        return Fitted(artifact.decode())


class Length:
    name, costly = "length", False

    def canonical(self, answer, arguments):
        return str(len(answer))

    def loss(self, answer, reference, *, request, arguments):
        return float(abs(len(answer) - len(reference)) > arguments.get("slack", 0))


class Badge:
    linear_time = True

    def scan(self, text):
        at = text.find("BADGE-")
        return [] if at < 0 else [PrivacySpan(start=at, end=at + 10, kind="badge", confidence=1.0)]
"""
POINTS = """
[insource.recipes]
majority = foreign_insource_plugin:Majority

[insource.scorers]
length = foreign_insource_plugin:Length

[insource.detectors]
badge = foreign_insource_plugin:Badge
broken = foreign_insource_plugin:NotThere
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Path]:
    (tmp_path / "foreign_insource_plugin.py").write_text(dedent(SOURCE))
    install(tmp_path, package="foreign-insource-plugin", points=POINTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("foreign_insource_plugin", None)


def test_its_recipe_scorer_and_detector_are_found_and_work(site: Path) -> None:
    recipe: Recipe = plugins.load("recipes", "majority")
    output = OutputProfile(kind=OutputKind.LABEL, labels=("a", "b"))
    refusal = recipe.refusal(output, 0)
    assert refusal is not None
    assert refusal.examples_needed == 1
    fitted = recipe.load(recipe.fit(output, [], seed=0).fitted.artifact())
    assert fitted.prepare({}) == LocalAnswer(text="b", confidence=0.5)
    scorer: Scorer = plugins.load("scorers", "length")
    assert scorer.loss("ab", "cd", request={}, arguments={}) == 0.0
    assert [scorer.loss("ab", "c", request={}, arguments={"slack": slack}) for slack in (0, 1)] == [1.0, 0.0]
    detector: PrivacyDetector = plugins.load("detectors", "badge")
    assert [span.kind for span in detector.scan("my BADGE-1234")] == ["badge"]


def test_it_is_listed_with_its_package(site: Path) -> None:
    found = {(plugin.group, plugin.name): plugin.package for plugin in plugins.installed()}
    assert found["recipes", "majority"] == "foreign-insource-plugin 1.2"
    assert found["recipes", "head"].startswith("insource ")


def test_a_broken_one_is_named(site: Path) -> None:
    with pytest.raises(UsageError, match=r"'broken' of foreign-insource-plugin 1\.2 can't be loaded: AttributeError"):
        plugins.load("detectors", "broken")


def test_two_of_one_name_are_refused(site: Path) -> None:
    install(site, package="another-plugin", points="[insource.recipes]\nhead = foreign_insource_plugin:Majority\n")
    with pytest.raises(UsageError, match=r"Two recipes are named .head.: one of another-plugin 1\.2 and insource "):
        plugins.load("recipes", "head")
