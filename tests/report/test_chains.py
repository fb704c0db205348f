"""Pictures of chains of states: well-formed, complete, and about the numbers that they were given."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from reverie.contract import StateChain
from reverie.models.hmm import HMM
from reverie.report import chains


def chain(S=3, end=True, seed=0):
    rng = np.random.default_rng(seed)
    return StateChain(
        start=rng.dirichlet(np.ones(S)),
        transitions=rng.dirichlet(np.ones(S), size=S),
        end=np.full(S, 0.1) if end else None,
        visits=rng.dirichlet(np.ones(S)),
        columns=("a", "b<c"),
        emission=rng.normal(size=(S, 2)),
        paths=(np.array([0, 0, S - 1, 0]), np.array([S - 1])),
    )


@pytest.mark.parametrize("states", [1, 2, 5, 30])
@pytest.mark.parametrize("draw", [chains.graph, chains.ribbon, chains.emissions])
def test_pictures_are_xml_and_say_what_they_are(states, draw):
    svg = ElementTree.fromstring(str(draw(chain(states))))
    assert svg.get("aria-label")
    assert all(
        float(n) >= 0 for e in svg.iter() for n in (e.get("width") or "0", e.get("height") or "0", e.get("r") or "0")
    )


def test_every_arrow_is_a_transition():
    given = chain(4)
    titles = re.findall(r"<title>(\d) to (\d): ([\d.]+)</title>", str(chains.graph(given)))
    assert len(titles) == (given.transitions >= 0.05).sum()
    assert all(float(p) == pytest.approx(given.transitions[int(i), int(j)], abs=0.005) for i, j, p in titles)


def test_every_run_of_a_path_is_a_bar():
    found = re.findall(r"state (\d), steps (\d) to (\d)", str(chains.ribbon(chain(3))))
    assert found == [("0", "1", "2"), ("2", "3", "3"), ("0", "4", "4"), ("2", "1", "1")]


def test_a_model_offers_its_chain():
    words = [np.array([0, 1, 2, 1]), np.array([2, 1]), np.array([1, 0, 0])] * 5
    model = HMM(2, device="cpu").fit(words)
    found = model.state_chain(words, 2)
    assert found.visits.sum() == pytest.approx(1)
    assert found.columns == ("0", "1", "2")
    np.testing.assert_allclose(found.emission, model.emissionprob_)
    np.testing.assert_array_equal(found.paths[0], model.decode(words)[0])
    assert len(found.paths) == 2
    real = HMM(2, device="cpu").fit([np.random.default_rng(0).normal(size=(9, 3))]).state_chain(np.zeros((1, 9, 3)))
    assert real.end is None
    assert real.columns == ("0", "1", "2")
    assert real.emission.shape == (2, 3)
