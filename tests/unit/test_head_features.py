"""Which features a head takes: the encoder where the fit part shows that it helps, and only there."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest

from insource.adapt import extras, sentence_encoder
from insource.adapt.classifier import fit_classifier, load_classifier
from insource.adapt.head import HeadRecipe
from insource.core.errors import UsageError
from insource.core.evidence import Example
from insource.core.hashing import sha256_hex
from tests.fakes.evidence import example

LABELS = ("no", "yes")


def texts(salt: str, *, telling: bool = False) -> list[Example]:
    """Made-up words, so that no n-gram tells the label; or with a word that does."""
    drawn = random.Random(salt)
    words = ["".join(drawn.choices("abcdefghij", k=6)) for _ in range(120)]
    hints = ("broken", "working") if telling else ("", "")
    return [example(n, text=f"{salt} {word} {hints[n % 2]}", reference=LABELS[n % 2]) for n, word in enumerate(words)]


def pretend(monkeypatch: pytest.MonkeyPatch, held: Sequence[Example], *, telling: bool) -> None:
    """An encoder that knows the labels of these texts, or only noise."""
    label_of = {e.text: e.reference for e in held}

    def encode(texts: Sequence[str]) -> sentence_encoder.Vectors:
        found = np.zeros((len(texts), sentence_encoder.DIMENSIONS), dtype=np.float32)
        for at, text in enumerate(texts):
            told = label_of.get(text) == "yes" if telling else int(sha256_hex(text.encode())[0], 16) % 2
            found[at, int(told)] = 1.0
        return found

    monkeypatch.setattr(sentence_encoder, "installed", lambda: True)
    monkeypatch.setattr(sentence_encoder, "encode", encode)
    monkeypatch.setattr(sentence_encoder, "load", lambda: None)


@pytest.mark.parametrize("telling", [True, False])
def test_the_fit_part_decides_whether_the_encoder_is_used(monkeypatch: pytest.MonkeyPatch, telling: bool) -> None:
    held = texts(f"salt {telling}", telling=not telling)
    pretend(monkeypatch, held, telling=telling)
    found = fit_classifier(held, LABELS)
    assert found.classifier.encoder == telling
    loaded = load_classifier(found.classifier.artifact())
    assert loaded.encoder == telling
    assert all((loaded.logits(e.text) == found.classifier.logits(e.text)).all() for e in held)


def test_without_the_extra_it_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    held = texts("without")
    pretend(monkeypatch, held, telling=True)
    monkeypatch.setattr(sentence_encoder, "installed", lambda: False)
    assert not fit_classifier(held, LABELS).classifier.encoder


def test_a_head_with_the_encoder_names_the_extra_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    held = texts("missing")
    with monkeypatch.context() as there:
        pretend(there, held, telling=True)
        artifact = fit_classifier(held, LABELS).classifier.artifact()
    sentence_encoder.load.cache_clear()
    monkeypatch.setattr(extras, "find_spec", lambda _: None)
    with pytest.raises(UsageError) as refused:
        HeadRecipe().load(artifact)
    assert "insource[embed]" in refused.value.next_step


def test_the_encoder_gives_the_same_for_a_text_alone_and_among_others_and_reads_anything() -> None:
    if not sentence_encoder.installed():
        pytest.skip("skipped: the extra 'embed' is not installed")
    said = ["my card was stolen", "", "\0half \ud800 of it", "Wo ist mein Geld?", "x" * 1_200]
    together = sentence_encoder.encode(said)
    assert (together == np.vstack([sentence_encoder.encode([text]) for text in said])).all()
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-3)
    near = sentence_encoder.encode(["my card was stolen", "someone took my card", "the weather in Rome"])
    assert near[0] @ near[1] > near[0] @ near[2]
