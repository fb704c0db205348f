from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from reverie import RBM, data, registry, report
from reverie.contract import Curve, Estimate
from reverie.errors import CorruptFileError
from reverie.evidence.summary import Evidence, Figure
from reverie.report import curves, facts, figures, neighbours, pictures, seen, words
from reverie.run import Run, fit

VOID = {"meta", "link", "br", "img", "source", "hr", "input"}


class Page(HTMLParser):
    """A page as its elements, checked to be closed in the order that they were opened."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def ids(self) -> list[str]:
        return [attributes["id"] for _, attributes in self.elements if "id" in attributes]

    def values(self) -> list[float]:
        return [float(attributes["value"]) for tag, attributes in self.elements if tag == "data"]

    def links(self) -> list[str]:
        return [a[name] for _, a in self.elements for name in ("src", "href", "srcset", "data", "action") if name in a]


def self_contained(text: str) -> bool:
    page = Page(text)
    assert all(link.startswith("data:") for link in page.links())
    assert not any(tag in ("script", "iframe", "object") for tag, _ in page.elements)
    return not any(word in text.lower() for word in ("@import", "url(", "http://", "https://"))


def test_a_judged_run(digits: Run) -> None:
    text = report.build(digits)
    page = Page(text)
    assert self_contained(text)
    assert len(text.encode()) < 1_000_000
    assert page.ids() == ["verdict", "samples", "setup", "curves", "neighbours", "pictures", "evidence", "reproduce"]
    evidence = digits.evidence()
    assert evidence is not None
    assert words.typeset(evidence.verdict) in page.text
    assert "real (validation, as the model sees them)" in page.text
    assert "dreamt by the model" in page.text
    assert "RBM on digits" in page.text
    assert "1,293 train, 144 validation and 360 test" in page.text
    assert digits.config.data.fingerprint in page.text
    assert "3 of 3" in page.text
    assert "reverie fit rbm digits --out 'a b' reverie evaluate 'a b' reverie report 'a b'" in page.text


def test_every_picture_and_chart_has_words(digits: Run) -> None:
    page = Page(report.build(digits))
    images = [attributes for tag, attributes in page.elements if tag == "img"]
    drawings = [a for tag, a in page.elements if tag == "svg" and a.get("class") == "chart"]
    assert len(images) > 10
    assert all(image["alt"] for image in images)
    assert len(drawings) >= len(RBM.curves)
    assert all(a["role"] == "img" and a["aria-label"] for a in drawings)


def test_figures_are_those_of_the_evidence(digits: Run) -> None:
    page = Page(report.build(digits))
    stored = json.loads((digits.path / "evidence.json").read_text())["figures"]
    shown = page.values()
    for figure in stored:
        estimate = figure["estimate"]
        assert estimate["value"] in shown
        assert words.number(estimate["value"]) in page.text
        for said in (
            estimate["method"],
            estimate["base_measure"],
            estimate["kind"],
            figure["protocol"],
            figure["note"],
        ):
            assert said in page.text


def test_the_same_folder_gives_the_same_page_and_another_seed_another(digits: Run) -> None:
    first = report.build(digits)
    assert report.build(Run.open(digits.path)) == first
    assert report.build(digits, seed=1) != first


def test_writing_it(digits: Run) -> None:
    path = report.write(digits)
    assert path == digits.path / "report.html"
    assert path.read_text("utf-8") == report.build(digits)
    assert [p.name for p in digits.path.glob(".*")] == []


def test_without_evidence(digits: Run) -> None:
    (digits.path / "evidence.json").unlink()
    page = Page(report.build(digits))
    assert "Not judged yet" in page.text
    assert "reverie evaluate run" in page.text
    assert page.values() == []


@pytest.mark.parametrize("status", ["diverged", "interrupted", "time limit", "training"])
def test_a_run_that_did_not_finish_says_so_loudly(rewrite: Callable[..., Run], status: str) -> None:
    run = rewrite(status=status)
    page = Page(report.build(run))
    assert [a.get("role") for _, a in page.elements].count("alert") == 1
    assert facts.warning(run.config) in page.text


def test_without_a_model_or_an_epoch(rewrite: Callable[..., Run]) -> None:
    run = rewrite(status="training")
    for name in ("model", "history.jsonl", "clock.jsonl", "evidence.json"):
        path = run.path / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    page = Page(report.build(run))
    assert "No model is saved" in page.text
    assert "No epoch was completed" in page.text
    assert "img" not in [tag for tag, _ in page.elements]


def test_with_its_data_gone_or_changed(rewrite: Callable[..., Run]) -> None:
    changed = {**rewrite().config.data.model_dump(), "fingerprint": "0" * 64}
    page = Page(report.build(rewrite(data=changed)))
    assert "the data have changed" in page.text
    assert "evidence" in page.ids()
    gone = {**changed, "source": "nowhere.csv"}
    assert "The data cannot be read again" in Page(report.build(rewrite(data=gone))).text


def test_a_tampered_model_is_no_report(digits: Run) -> None:
    path = digits.path / "model" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x07")
    with pytest.raises(CorruptFileError):
        report.build(digits)


def test_a_table_with_one_epoch_and_names_that_are_markup(table: Run) -> None:
    text = report.build(table)
    page = Page(text)
    assert self_contained(text)
    assert "<script" not in text
    assert "<b>t" not in text
    assert "<script>alert('x')</script>" in page.text
    assert "RBM on <b>t&t" in page.text
    assert "img" not in [tag for tag, _ in page.elements]
    assert "Mean of each column" in page.text
    assert "1 of 1" in page.text


def test_large_pictures_stay_under_two_megabytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen, "DRAWS", 48)
    x = np.random.default_rng(0).integers(0, 256, (120, 28, 28), dtype=np.uint8)
    np.save(tmp_path / "noise.npy", x)
    run = fit(RBM(500, epochs=1, binarise="dynamic"), data.load(str(tmp_path / "noise.npy")), tmp_path / "run")
    text = report.build(run)
    assert len(text.encode()) < 2_000_000
    assert self_contained(text)


def test_colour_noise_is_scaled_down_until_it_fits() -> None:
    x = np.random.default_rng(0).integers(0, 256, (64, 128, 128, 3), dtype=np.uint8)
    few = pictures.few(x, 48)
    made = pictures.examples(few, (0, 255), "noise")
    assert len(few) == 8
    assert len(made.wide) < 1.4 * pictures.LIMIT
    assert made.wide == made.narrow


def test_bytes_of_zeros_and_ones_are_black_and_white() -> None:
    from base64 import b64decode
    from io import BytesIO

    from PIL import Image

    made = pictures.examples(np.array([[[0, 1]]], dtype=np.uint8), (0, 1), "bits", columns=1)
    pixels = np.asarray(Image.open(BytesIO(b64decode(made.wide.split(",")[1]))).convert("L"))
    assert {0, 255} <= set(pixels.ravel().tolist())


def test_a_missing_column_is_left_out() -> None:
    declared = Curve("Loss", {"train": "training", "validation": "validation"}, "nats", "lower")
    history = [{"epoch": 1, "train": 2.0}, {"epoch": 2, "train": math.nan}, {"epoch": 3, "train": 1.0}]
    (panel,) = curves.panels([declared, Curve("None", {"nothing": "nothing"}, "")], history)
    assert panel.legend == [("training", "1.00")]
    assert panel.rows[1] == ["2", words.NOTHING]
    assert not panel.thinned


def test_a_long_history_has_a_short_table() -> None:
    history = [{"epoch": k, "loss": float(k)} for k in range(1, 1001)]
    (panel,) = curves.panels([Curve("Loss", {"loss": "loss"}, "nats")], history)
    assert panel.thinned
    assert len(panel.rows) <= 24
    assert panel.rows[0][0] == "1"
    assert panel.rows[-1][0] == "1000"


# Neighbours -----------------------------------------------------------------------------------------------------------


def test_nearest_rows_agree_with_brute_force() -> None:
    rng = np.random.default_rng(0)
    x, among = rng.normal(size=(20, 5)), rng.normal(size=(2500, 5))
    where, squared = neighbours.nearest_rows(x, among)
    every = ((x[:, None] - among[None]) ** 2).sum(-1)
    assert where.tolist() == every.argmin(1).tolist()
    assert squared == pytest.approx(every.min(1))


def looked(drawn: np.ndarray, real: np.ndarray, train: np.ndarray, binary: bool = True) -> seen.Seen:
    return seen.Seen(drawn, real, real, "validation", train, len(train), binary, False, (0.0, 1.0))


def bits(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2, (n, 5, 5), dtype=np.uint8)


def test_copies_are_found_and_originals_are_not_blamed() -> None:
    train, real = bits(300, 0), bits(50, 1)
    copied = neighbours.compare(looked(train[:50], real, train))
    fresh = neighbours.compare(looked(bits(50, 2), real, train))
    assert copied is not None
    assert fresh is not None
    assert copied.alarm
    assert "100% of the draws are exact copies" in copied.verdict
    assert copied.nearest.tolist() == list(range(50))
    assert not fresh.alarm
    assert "No sign of copying" in fresh.verdict


def test_distances_of_bits_count_and_those_of_numbers_are_in_standard_deviations() -> None:
    train, real, drawn = (np.zeros((2, 3), np.uint8) for _ in range(3))
    drawn[0, :2] = 1
    found = neighbours.compare(looked(drawn, real, train))
    assert found is not None
    assert found.drawn.tolist() == [2, 0]
    assert "cannot be told from learning" in found.verdict
    wide = np.array([[0.0, 0.0], [2.0, 200.0]])
    found = neighbours.compare(looked(wide + np.array([0, 100]), wide, wide, binary=False))
    assert found is not None
    assert found.drawn == pytest.approx([1, 1])


def test_gaps_or_no_held_out_examples_mean_no_comparison() -> None:
    x = bits(5, 0).astype(float)
    gaps = x.copy()
    gaps[0, 0, 0] = math.nan
    assert neighbours.compare(looked(x, gaps, x, binary=False)) is None
    train_only = seen.Seen(x, x, x, "training", x, 5, True, False, (0.0, 1.0))
    assert neighbours.compare(train_only) is None


def test_a_large_training_set_is_sampled_and_the_page_says_so(digits: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen, "TRAINING_ROWS", 100)
    assert "among 100 training examples picked at random from 1,293" in Page(report.build(digits)).text


# Evidence -------------------------------------------------------------------------------------------------------------


def figure(name: str, role: str, value: float, measure: str = "bits", **more: object) -> Figure:
    rest = {"low": value, "high": value, "stderr": 0.1, "kind": "exact", "method": "sum", "n": 9, **more}
    return Figure(name, "test", role, Estimate(value, base_measure=measure, **rest), "protocol")  # type: ignore[arg-type]


def test_differences_only_on_the_same_ground() -> None:
    found = figures.rows(
        Evidence(
            (
                figure("log-likelihood", "model", -10.0, low=-11.0, high=-10.0, kind="estimate", verdict="consistent"),
                figure("independent columns", "baseline", -15.0),
                figure("pixels", "baseline", -99.0, "levels"),
            ),
            "",
            "",
        )
    )
    assert found[0].differences == ("+5.00 against independent columns (from +4.00 to +5.00)",)
    assert found[1].differences == ()


@pytest.mark.parametrize(
    ("verdict", "said"),
    [("exact", "summed over every configuration"), ("consistent", "not a proof"), ("inconsistent", "low end at most")],
)
def test_verdict_words_are_explained(verdict: str, said: str) -> None:
    evidence = Evidence((figure("log-likelihood", "model", -1.0, verdict=verdict),), "", "")
    explained = dict(figures.verdicts(evidence))
    assert said in explained[verdict]
    assert ("low and high" in explained) == (verdict != "exact")


def test_an_undefined_figure_is_a_dash_and_not_drawn() -> None:
    evidence = Evidence((figure("log-likelihood", "model", math.nan, kind="not defined"),), "", "")
    assert figures.rows(evidence)[0].shown == words.NOTHING
    assert figures.overview(evidence) == []


# Words ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (-18.123, "−18.12"),
        (0, "0.00"),
        (0.00123, "0.0012"),
        (1e-9, "1.00e−09"),
        (12345.678, "12,345.68"),
        (math.nan, "–"),
        (-math.inf, "−∞"),
        (None, "–"),
    ],
)
def test_numbers(value: float, said: str) -> None:
    assert words.number(value) == said


def test_minus_signs_stand_before_numbers_only() -> None:
    assert words.typeset("CD-1 reaches -18.4, from 2024-01-02") == "CD-1 reaches −18.4, from 2024-01-02"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.057, "0.06 s"), (9.96, "10.0 s"), (59.9, "60 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")],
)
def test_durations(seconds: float, said: str) -> None:
    assert words.duration(seconds).replace("1 min 0 s", "60 s") == said


def test_a_run_from_python_gets_a_command_line(table: Run, rewrite: Callable[..., Run]) -> None:
    lines = facts.command(rewrite(command=[])).splitlines()
    assert lines[0] == ("reverie fit rbm digits --set hidden=8 --set epochs=3 --set binarise=0.4375 --seed 0 --out run")
    assert lines[1:] == ["reverie evaluate run", "reverie report run"]


def test_the_command_names_the_learning_principle(rewrite: Callable[..., Run]) -> None:
    parameters = {**rewrite().config.parameters, "learning": {"name": "PCD", "steps": 5}}
    line = facts.command(rewrite(command=[], parameters=parameters)).splitlines()[0]
    assert "--set learning=PCD --set learning.steps=5" in line


def test_a_command_that_goes_the_whole_way_stands_alone(rewrite: Callable[..., Run]) -> None:
    run = rewrite(command=["reverie", "demo", "--out", "x y"])
    assert facts.command(run) == "reverie demo --out 'x y'"


def test_rows_of_pictures_are_even() -> None:
    assert [pictures._even(n, 16) for n in (20, 16, 64, 5)] == [10, 16, 16, 5]


@pytest.mark.parametrize("family", ["rbm", "boltzmann"])
def test_a_small_machine_shows_its_landscape(family: str, tmp_path: Path) -> None:
    """All 2⁹ configurations weighed, the mass of the training patterns in words, the likeliest as pictures."""
    dataset = data.load("bars-and-stripes-3")
    run = fit(registry.get(family)(hidden=4, epochs=2, device="cpu"), dataset, tmp_path / "run")
    page = report.build(run)
    found = run.model().landscape(dataset.train.x)
    assert "Energy landscape" in page
    assert f"All 512 configurations were weighed. The 14 different training examples hold {found.mass:.1%}" in page
    assert "The 32 most probable configurations" in page
    assert "Chains at several temperatures" in page


def test_a_small_table_shows_its_landscape_as_rows(tmp_path: Path) -> None:
    source = tmp_path / "bits.csv"
    source.write_text("a,b,c\n" + "1,0,1\n0,1,1\n" * 20)
    run = fit(RBM(2, epochs=1, device="cpu"), data.load(source), tmp_path / "run")
    page = report.build(run)
    assert "All 8 configurations were weighed" in page
    assert "<td>1 0 1</td>" in page


def test_a_large_machine_has_no_landscape(digits: Run) -> None:
    assert "Energy landscape" not in report.build(digits)
