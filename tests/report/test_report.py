from __future__ import annotations

import json
import math
import re
import shutil
from base64 import b64decode
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reverie import GAN, RBM, contract, data, registry, report
from reverie.contract import Curve, Estimate
from reverie.errors import CorruptFileError
from reverie.evidence.summary import Evidence, Figure
from reverie.random import Random
from reverie.report import columns, curves, facts, figures, neighbours, pictures, seen, words
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


def pixels(uri: str) -> np.ndarray:
    """A PNG in a data URI as shades of grey (h, w)."""
    return np.asarray(Image.open(BytesIO(b64decode(uri.split(",")[1]))).convert("L"))


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
    before = ["samples", "setup", "curves", "resemblance", "neighbours", "usefulness"]
    assert page.ids() == ["verdict", *before, "pictures", "gaps", "evidence", "reproduce"]
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
    made = pictures.examples(np.array([[[0, 1]]], dtype=np.uint8), (0, 1), "bits", columns=1)
    assert {0, 255} <= set(pixels(made.wide).ravel().tolist())


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


def test_a_pixel_that_hardly_varies_counts_like_any_other():
    """Draws with noise of a hundredth of the spread everywhere, a pixel that was lit once in training included."""
    rng = np.random.default_rng(0)
    train, real = rng.normal(size=(100, 3, 3)), rng.normal(size=(40, 3, 3))
    train[:, 0, 0], real[:, 0, 0] = 0, 0
    train[0, 0, 0] = 1e-3
    found = neighbours.compare(looked(real + rng.normal(0, 0.01, real.shape), real, train, binary=False))
    np.testing.assert_allclose(found.drawn, found.real, atol=0.1)
    assert "all pixels" in found.measure


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
    ("name", "value", "said"),
    [
        ("reconstruction error", 9.0, "worse than a baseline, by"),
        ("reconstruction error", 1.0, "better than a baseline, by"),
        ("classification error", 9.0, "worse than a baseline, by"),
        ("log-likelihood", 9.0, "better than a baseline, by"),
        ("log-likelihood", 1.0, "worse than a baseline, by"),
    ],
)
def test_the_difference_at_the_top_says_which_is_better(name: str, value: float, said: str) -> None:
    evidence = Evidence((figure(name, "model", value), figure("a baseline", "baseline", 5.0)), "", "")
    what, shown, exact, unit = figures.headline(evidence)[2]
    assert (what, shown, exact, unit) == (said, "4.00", 4.0, "nats per example")


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        ("exact", "summed over every configuration"),
        ("consistent", "not a proof"),
        ("inconsistent", "low end at most"),
        ("sandwiched", "data may be harder"),
    ],
)
def test_verdict_words_are_explained(verdict: str, said: str) -> None:
    evidence = Evidence((figure("log-likelihood", "model", -1.0, verdict=verdict),), "", "")
    explained = dict(figures.verdicts(evidence))
    assert said in explained[verdict]
    assert ("low and high" in explained) == (verdict in ("consistent", "inconsistent"))


def test_the_verdict_of_a_baseline_is_not_said_of_the_model() -> None:
    bound = figure("log-likelihood with noise", "detail", -1.0, kind="lower bound", verdict="bounds 0.30 nats apart")
    evidence = Evidence((bound, figure("mean", "baseline", -3.0, verdict="exact")), "", "")
    assert figures.verdicts(evidence) == []


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


# What only some models have -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["rbm", "boltzmann"])
def test_a_small_machine_shows_its_landscape(family: str, tmp_path: Path) -> None:
    """All 2⁹ configurations weighed, the mass of the training patterns in words, the likeliest drawn."""
    dataset = data.load("bars-and-stripes-3")
    run = fit(registry.get(family)(hidden=4, epochs=2, device="cpu"), dataset, tmp_path / "run")
    text = report.build(run)
    page = Page(text)
    found = run.model().landscape(dataset.train.x)
    assert self_contained(text)
    assert "landscape" in page.ids()
    assert f"All 512 configurations were weighed. The 14 different training examples hold {found.mass:.1%}" in page.text
    tiles = [attributes["href"] for tag, attributes in page.elements if tag == "image"]
    assert len(tiles) == 16
    assert all(pixels(tile).shape == (3, 3) for tile in tiles)
    assert np.array_equal(pixels(tiles[0]) == 255, found.examples[0] == 1)
    assert f"probability {words.number(float(found.probability[0]), 4)}" in page.text


def test_a_small_table_shows_its_landscape_in_words(tmp_path: Path) -> None:
    source = tmp_path / "bits.csv"
    source.write_text("a,b,c\n" + "1,0,1\n0,1,1\n" * 20)
    run = fit(RBM(2, epochs=1, device="cpu"), data.load(source), tmp_path / "run")
    text = report.build(run)
    page = Page(text)
    assert "All 8 configurations were weighed" in page.text
    assert "<td>1 0 1</td>" in text
    assert "101: probability" in page.text
    assert "image" not in [tag for tag, _ in page.elements]


def test_a_large_machine_has_no_landscape(digits: Run) -> None:
    assert "Energy landscape" not in report.build(digits)


def test_energies_that_are_only_estimated_are_no_landscape(monkeypatch: pytest.MonkeyPatch) -> None:
    model = registry.get("boltzmann")(hidden=2, epochs=1, device="cpu").fit(np.eye(4, dtype=np.uint8))
    assert model.landscape(np.eye(4, dtype=np.uint8)) is not None
    monkeypatch.setattr(type(model), "sums_out", False)
    assert model.landscape(np.eye(4, dtype=np.uint8)) is None


def test_every_temperature_has_its_row(digits: Run) -> None:
    page = Page(report.build(digits))
    assert "Chains at several temperatures" in page.text
    rows = [a["alt"] for tag, a in page.elements if tag == "img" and a["alt"].startswith("Chains at several")]
    assert len(rows) == 8
    assert rows[0].startswith("Chains at several temperatures, β = 0.00")
    assert rows[-1].startswith("Chains at several temperatures, β = 1.00")
    assert "of the exchanges were accepted" in page.text


def test_rows_with_names_stay_whole_and_fewer_of_large_images_are_shown() -> None:
    """All rows are there, in their order, each as long as the others; black and white are the ends of the span."""
    levels = np.arange(8)[:, None, None, None] * np.ones((1, 8, 200, 100))
    names = tuple(f"row {k}" for k in range(8))
    made = pictures.of_model(
        contract.Picture("Rows", "", levels.reshape(64, 200, 100), columns=8, rows=names), (0.0, 14.0)
    )
    assert [name for name, _ in made.rows] == list(names)
    assert [strip.alt for _, strip in made.rows] == [f"Rows, {name}: 2 images" for name in names]
    centres = [int(pixels(strip.wide)[strip.height // 2, strip.width // 4]) for _, strip in made.rows]
    assert centres == [round(255 * k / 14) for k in range(8)]


def test_filters_of_several_layers_stand_under_one_heading(tmp_path: Path) -> None:
    dataset = data.load("bars-and-stripes-3")
    run = fit(registry.get("dbn")(hidden=(6, 5), epochs=1, device="cpu"), dataset, tmp_path / "run")
    page = Page(report.build(run))
    offered = [p for p in run.model().pictures(dataset.train.x, Random(0)) if p.diverging]
    assert page.text.count("Blue is negative, white zero, red positive.") == len(offered) == 2
    assert all(picture.title in page.text for picture in offered)
    assert page.text.count("Inside the model") == 1
    assert "2 of 2" in page.text  # an epoch for each layer


@pytest.fixture(scope="session")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A model of images with labels: class "a" has its left half on, class "b" its right half."""
    folder = tmp_path_factory.mktemp("labelled")
    y = np.array(["a", "b"] * 60)
    x = np.zeros((120, 4, 4), np.uint8)
    x[y == "a", :, :2] = x[y == "b", :, 2:] = 1
    np.savez(folder / "halves.npz", x=x, y=y)
    model = RBM(6, labels=True, epochs=40, learning_rate=0.3, device="cpu")
    return fit(model, data.load(folder / "halves.npz"), folder / "run")


def test_a_model_with_labels_shows_its_errors_and_draws_of_each_class(labelled: Run) -> None:
    text = report.build(labelled)
    page = Page(text)
    assert self_contained(text)
    assert "Classification error, by epoch" in text
    rows = {a["alt"]: a["src"] for tag, a in page.elements if tag == "img" and a["alt"].startswith("Draws of each")}
    assert list(rows) == ["Draws of each class, a: 10 images", "Draws of each class, b: 10 images"]
    left, right = (strip_halves(src) for src in rows.values())
    assert left[0] > 150 > 100 > left[1]
    assert right[1] > 150 > 100 > right[0]


def strip_halves(uri: str) -> tuple[float, float]:
    """Mean brightness of the left and the right halves of the ten images in a strip."""
    strip = pixels(uri).astype(float)
    halves = np.array_split(strip, 20, axis=1)
    return float(np.mean([h.mean() for h in halves[::2]])), float(np.mean([h.mean() for h in halves[1::2]]))


def test_real_values_say_their_measure_and_have_no_empty_panels(tmp_path: Path) -> None:
    grey = np.random.default_rng(0).normal(60, 40, (150, 3, 4)).clip(0, 255).astype(np.uint8)
    grey[:, 0, 0], grey[0, 0, 1] = 9, 255
    np.save(tmp_path / "grey.npy", grey)
    run = fit(registry.get("gaussian-rbm")(hidden=3, epochs=2), data.load(tmp_path / "grey.npy"), tmp_path / "run")
    text = report.build(run)
    page = Page(text)
    assert "Lebesgue measure on R^11 in the data's own units, column 0 constant and set apart" in page.text
    assert "deals in zeros and ones" not in page.text
    assert "Draws of each class" not in page.text
    assert "Energy landscape" not in page.text
    charts = [a["aria-label"] for tag, a in page.elements if tag == "svg" and a.get("class") == "chart"]
    assert len(charts) > 3
    assert not any("no values" in label for label in charts)


def test_pictures_of_draws_share_the_scale_of_the_data() -> None:
    dim = contract.Picture("Film", "", np.full((2, 3, 3), 51.0), columns=2)
    made = pictures.of_model(dim, (0.0, 255.0))
    assert pixels(made.wide)[made.height // 2, made.width // 4] == 51


def test_a_density_of_points_is_dark_where_there_are_many_and_has_no_sign(plane: Run) -> None:
    page = Page(report.build(plane))
    assert "Where G’s points lie, the darker the more" in page.text
    assert "Blue is negative" not in page.text
    (crowds,) = plane.model().pictures(plane.dataset().train.x, Random(0))
    made = pictures.of_model(crowds, (-3.0, 3.0))  # the data's range is not the picture's
    shown = pixels(made.wide)
    assert (shown.min(), shown.max(), shown[8, 8]) == (0, 255, 255)  # black where most points are, white in a corner
    assert crowds.images.min() == 0


def test_several_values_are_said_as_the_command_line_takes_them(rewrite: Callable[..., Run]) -> None:
    parameters = {"hidden": [30, 20], "epochs": 4, "binarise": "threshold", "seed": 2}
    run = rewrite(command=[], model="dbn", parameters=parameters)
    line = facts.command(run).splitlines()[0]
    assert (
        line == "reverie fit dbn digits --set hidden=30,20 --set epochs=4 --set binarise=threshold --seed 2 --out run"
    )
    assert ("hidden", "30, 20") in facts.model(run, "DBN", None)
    assert dict(facts.training(run))["epochs"].endswith("of 8")


def test_an_array_is_told_by_its_size_and_not_put_on_the_command_line(rewrite: Callable[..., Run]) -> None:
    parameters = {"hidden": 2, "mask": [[0, 1, 1], [1, 0, 1], [1, 1, 0]], "epochs": 4}
    run = rewrite(command=[], model="boltzmann", parameters=parameters)
    lines = facts.command(run).splitlines()
    assert "mask" not in lines[0]
    assert lines[-1] == "# mask, an array of 3 × 3, is in run.json"
    assert ("mask", "an array of 3 × 3") in facts.model(run, "Boltzmann machine", None)


def test_the_base_measure_is_among_the_facts(digits: Run) -> None:
    measure = dict(facts.model(digits, "RBM", digits.model()))["base measure"]
    assert measure.startswith("counting measure on {0, 1}^64, binarised at x > 0.4375")
    assert measure in Page(report.build(digits)).text


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A GAN of two rounds on points in the plane."""
    folder = tmp_path_factory.mktemp("plane")
    rng = np.random.default_rng(0)
    np.save(folder / "points.npy", rng.normal(0, 0.3, (200, 2)) + np.where(rng.integers(0, 2, 200), 2.0, -2.0)[:, None])
    return fit(GAN(hidden=(8,), epochs=2), data.load(str(folder / "points.npy")), folder / "run")


def test_what_an_argument_was_left_to_be_is_shown(plane: Run) -> None:
    model = plane.model()
    said = dict(facts.model(plane, "GAN", model))
    assert said["latent"] == f"{model.latent_} (by default)"
    assert said["octaves"] == f"{model.octaves_} (by default)"
    assert dict(facts.model(plane, "GAN", None))["latent"] == "none"  # without a model nobody knows


def test_points_in_the_plane_are_scattered(plane: Run) -> None:
    """Draws over held-out examples, as many of either; columns of other kinds are not points."""
    page = report.build(plane)
    assert "Draws over validation examples" in page
    dataset = plane.dataset()
    sides = seen.look(plane.model(), dataset, 0)
    found = columns.cloud(sides, dataset)
    assert found is not None
    for place, points in ((1, sides.real), (0, sides.drawn)):
        path = re.search(rf"<path class='specks s{place}' d='([^']*)'", str(found.chart))
        assert path is not None
        shown = path[1].count("M")
        assert shown == (len(points) if place == 1 else min(len(sides.real), len(points)) - found.outside)
    whole = replace(dataset, train=replace(dataset.train, x=np.rint(dataset.train.x)))
    assert not columns.in_the_plane(whole)
    whole.train.x[0] = 0.5, np.nan  # numbers that are whole but for a few are still counts or codes
    assert not columns.in_the_plane(whole)
    assert not columns.in_the_plane(replace(dataset, kind="images"))


def test_colour_is_not_called_grey(digits: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "same scale of grey" in Page(report.build(digits)).text
    monkeypatch.setattr("reverie.report.pictures.colour", lambda images: True)
    text = Page(report.build(digits)).text
    assert "grey" not in text.split("What was trained on what")[0]
    assert "same scale of colour" in text
