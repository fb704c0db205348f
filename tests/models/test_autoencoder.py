"""The autoencoder: principal components where it is linear, its variants' penalties, an encoder that stands alone."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from torch.nn.functional import binary_cross_entropy_with_logits

import reverie
from reverie import Autoencoder
from reverie.errors import UsageError
from reverie.models.autoencoder import squared_jacobian
from reverie.random import Random

FAST = {"hidden": (20,), "epochs": 3, "device": "cpu"}


def digits():
    return (load_digits().data > 7).astype(np.uint8).reshape(-1, 8, 8)


def blobs(n=400, D=7):
    """Columns of variance one that depend on three of their combinations, above all."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 3)) * [3, 2.5, 2] @ rng.normal(size=(3, D)) + rng.normal(size=(n, D))
    return (x - x.mean(0)) / x.std(0)


def test_a_linear_one_finds_the_principal_subspace():
    """Its error is that of PCA to half a percent, and both project onto the same three directions."""
    x = blobs()
    model = Autoencoder(
        3, hidden=(), visible="gaussian", epochs=200, learning_rate=3e-2, batch_size=100, device="cpu"
    ).fit(x)
    pca = PCA(3).fit(x)
    best = 0.5 * ((x - pca.inverse_transform(pca.transform(x))) ** 2).sum(1).mean()
    assert 0.5 * ((x - model.reconstruct(x)) ** 2).sum(1).mean() == pytest.approx(best, rel=5e-3)
    assert model.history_[-1]["train_reconstruction"] == pytest.approx(best, rel=5e-3)
    span = np.linalg.qr(model.params_["decoder.W0"].numpy().T)[0]
    cosines = np.linalg.svd(span.T @ pca.components_.T, compute_uv=False)
    assert cosines.min() > 0.999


def test_the_error_is_the_cross_entropy_or_half_the_square():
    x = digits()
    model = Autoencoder(4, **FAST).fit(x[:200])
    v = torch.from_numpy(x[:50].reshape(50, -1)).float()
    logits = torch.logit(torch.from_numpy(model.reconstruct(x[:50])).reshape(50, -1).double())
    wanted = binary_cross_entropy_with_logits(logits, v.double(), reduction="none").sum(1)
    found = model.error(v, model.code(v), model.params_)
    torch.testing.assert_close(found.double(), wanted, rtol=1e-3, atol=1e-3)
    real = Autoencoder(2, visible="gaussian", **FAST).fit(blobs())
    rows = real._encoded(blobs())
    squares = 0.5 * (rows.numpy() - real._encoded(real.reconstruct(blobs())).numpy()) ** 2
    torch.testing.assert_close(
        real.error(rows, real.code(rows), real.params_), torch.from_numpy(squares.sum(1)), rtol=1e-3, atol=1e-3
    )


def test_a_narrow_code_beats_as_many_principal_components():
    """In nats of cross-entropy per digit that it has not seen, against PCA's reconstruction clipped to (0, 1)."""
    x = digits()
    train, test = x[:1437], x[1437:]
    model = Autoencoder(5, hidden=(100,), epochs=40, learning_rate=3e-3, device="cpu").fit(train, validation=test)
    pca = PCA(5).fit(train.reshape(1437, -1))
    back = pca.inverse_transform(pca.transform(test.reshape(360, -1)))
    assert ((model.reconstruct(test).reshape(360, -1) - test.reshape(360, -1)) ** 2).sum(1).mean() < (
        (back - test.reshape(360, -1)) ** 2
    ).sum(1).mean()
    assert model.history_[-1]["validation_reconstruction"] < 0.6 * model.history_[0]["validation_reconstruction"]


def test_the_jacobian_s_norm_is_estimated_without_bias():
    """‖∂h/∂x‖² by torch's full Jacobian. Power: 20,000 draws; and it can be differentiated."""
    model = Autoencoder(3, hidden=(6,), visible="gaussian", activation="sigmoid", epochs=1, device="cpu").fit(blobs())
    x = torch.from_numpy(blobs()[:1]).float()

    def encode(t):
        return model.encoder(t, model.params_, "encoder.")

    full = torch.autograd.functional.jacobian(lambda t: encode(t[None])[0], x[0])
    t = x.repeat(20_000, 1).requires_grad_()
    draws = squared_jacobian(encode(t), t, Random(0))
    assert draws.requires_grad
    draws = draws.detach()
    error = float(draws.std()) / len(draws) ** 0.5
    assert float(draws.mean()) == pytest.approx(float(full.square().sum()), abs=5 * error)
    assert error < 0.02 * float(full.square().sum())


def test_penalties_do_what_they_are_for():
    x = digits()[:600]
    kept = {"hidden": (30,), "epochs": 20, "learning_rate": 3e-3, "activation": "tanh", "device": "cpu"}
    plain = Autoencoder(10, **kept).fit(x)
    sparse = Autoencoder(10, sparsity=1.0, **kept).fit(x)
    still = Autoencoder(10, contraction=1.0, **kept).fit(x)
    assert np.abs(sparse.transform(x)).sum(1).mean() < 0.6 * np.abs(plain.transform(x)).sum(1).mean()
    assert not any("penalty" in row for row in plain.history_)
    v = torch.from_numpy(x.reshape(600, -1)).float()

    def norm(model):
        t = v.clone().requires_grad_()
        return float(squared_jacobian(model.encoder(t, model.params_, "encoder."), t, Random(0)).detach().mean())

    assert norm(still) < 0.5 * norm(plain)
    assert all(row["penalty"] > 0 for row in (*sparse.history_, *still.history_))


def test_damage_is_as_much_as_was_asked_for():
    model = Autoencoder(2, mask=0.3, noise=0.5, **FAST).fit(digits()[:50])
    found = model.damaged(torch.ones(200, 500), Random(0))
    kept = found > 0.5  # one and noise, or zero and noise: halfway is one standard deviation from either
    assert float(found.mean()) == pytest.approx(0.7, abs=0.01)
    assert float(kept.float().mean()) == pytest.approx(0.7 * 0.8413 + 0.3 * 0.1587, abs=0.01)
    model.set_params(mask=0.0, noise=0.0)
    assert torch.equal(model.damaged(torch.ones(2, 3), Random(0)), torch.ones(2, 3))


def test_a_denoising_one_repairs_what_a_plain_one_does_not():
    x = digits()
    train, test = x[:1437], x[1437:]
    kept = {"hidden": (100,), "epochs": 30, "learning_rate": 3e-3, "device": "cpu"}
    damaged = (test * (np.random.default_rng(0).random(test.shape) < 0.6)).astype(np.uint8)
    errors = [
        ((Autoencoder(20, mask=mask, **kept).fit(train).reconstruct(damaged) - test) ** 2).mean() for mask in (0.0, 0.4)
    ]
    assert errors[1] < 0.8 * errors[0]


def test_tied_weights_are_the_encoder_s():
    x = digits()[:300]
    model = Autoencoder(4, tied=True, hidden=(20, 10), epochs=5, activation="tanh", device="cpu").fit(x)
    assert not any(name.startswith("decoder.W") for name in model.params_)
    h = torch.from_numpy(model.transform(x))
    p = model.params_
    for k in (2, 1, 0):
        h = h @ p[f"encoder.W{k}"].T + p[f"decoder.b{2 - k}"]
        h = torch.tanh(h) if k else torch.sigmoid(h)
    np.testing.assert_allclose(model.reconstruct(x).reshape(300, -1), h.numpy(), atol=1e-5)
    with pytest.raises(UsageError, match="convolutional"):
        Autoencoder(2, tied=True, convolutional=True, **FAST).fit(x)


@pytest.mark.parametrize("more", [{}, {"tied": True}, {"convolutional": True}], ids=["plain", "tied", "convolutional"])
def test_an_encoder_stands_alone(more, tmp_path):
    """Its file holds no decoder, and what is loaded says what it cannot do."""
    x = digits()[:100]
    model = Autoencoder(4, **FAST, **more).fit(x)
    model.save(tmp_path / "whole")
    model.save(tmp_path / "half", encoder_only=True)
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("whole", "half")]
    assert sizes[1] < sizes[0]
    assert b"decoder" not in (tmp_path / "half" / "model.safetensors").read_bytes()
    half = reverie.load(tmp_path / "half")
    np.testing.assert_array_equal(half.transform(x), model.transform(x))
    for call in (lambda: half.reconstruct(x), lambda: half.decode(np.zeros((1, 4)))):
        with pytest.raises(UsageError, match="without its decoder"):
            call()
    assert half.pictures(x, Random(0)) == []
    half.save(tmp_path / "again")
    np.testing.assert_array_equal(reverie.load(tmp_path / "again").transform(x), model.transform(x))
    assert model.whole
    np.testing.assert_array_equal(reverie.load(tmp_path / "whole").reconstruct(x), model.reconstruct(x))


def test_it_says_who_samples():
    model = Autoencoder(4, **FAST).fit(digits()[:50])
    for verb in ("sample", "log_likelihood"):
        assert not hasattr(model, verb)
        with pytest.raises(AttributeError, match="VAE"):
            getattr(model, verb)
    with pytest.raises(AttributeError, match="it can transform, reconstruct"):
        _ = model.impute


def test_a_row_of_several_kinds_comes_back():
    rng = np.random.default_rng(0)
    cause = rng.integers(0, 2, 500)
    x = np.stack([cause, 5 + 3 * cause + rng.normal(0, 0.2, 500), 10 + 2 * cause], 1)
    model = Autoencoder(
        2, hidden=(20,), visible=("bernoulli", "gaussian", "categorical"), epochs=40, learning_rate=5e-3, device="cpu"
    ).fit(x)
    back = model.reconstruct(x)
    assert ((back[:, 0] > 0.5) == cause).mean() > 0.99
    assert np.abs(back[:, 1] - x[:, 1]).mean() < 0.5
    assert (back[:, 2] == x[:, 2]).mean() > 0.99


@pytest.mark.parametrize("more", [{"visible": "gaussian", "convolutional": True}, {"binarise": 7, "tied": True}])
def test_the_exported_encoder_agrees(more, tmp_path):
    """To 1e-5, for any number of rows."""
    for needed in ("onnx", "onnxscript"):
        pytest.importorskip(needed)
    runtime = pytest.importorskip("onnxruntime")
    x = load_digits().data.reshape(-1, 8, 8)[:200].astype(np.uint8)
    model = Autoencoder(4, **FAST, **more).fit(x)
    model.export_onnx(tmp_path / "encoder.onnx")
    session = runtime.InferenceSession(tmp_path / "encoder.onnx")
    for n in (1, 7):
        rows = model._encoded(x[:n])
        (h,) = session.run(None, {"x": rows.numpy()})
        np.testing.assert_allclose(h, model.code(rows).numpy(), atol=1e-5)


def test_without_the_exporter_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr("reverie.models.autoencoder.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="onnx and onnxscript: pip install"):
        Autoencoder(4, **FAST).fit(digits()[:50]).export_onnx(tmp_path / "e.onnx")


def test_history_is_of_undamaged_rows():
    """A denoising one without damage in its history: reported as JSON keeps it."""
    model = Autoencoder(4, mask=0.9, **FAST).fit(digits()[:100])
    v = torch.from_numpy(digits()[:100].reshape(100, -1)).float()
    assert model.history_[-1]["train_reconstruction"] == pytest.approx(
        float(model.error(v, model.code(v), model.params_).mean()), rel=1e-4
    )
    assert json.loads(json.dumps(model.history_)) == model.history_


@pytest.mark.parametrize(("columns", "latent"), [(1, 1), (2, 1), (7, 3), (64, 32), (100, 32)])
def test_a_code_is_narrower_than_the_example(columns, latent, tmp_path):
    """By default; what is given holds, and so do folders of when 32 was the default, whatever their columns."""
    x = np.random.default_rng(0).normal(size=(50, columns))
    model = Autoencoder(visible="gaussian", **FAST).fit(x)
    assert (model.latent, model.latent_) == (None, latent)
    assert model.transform(x).shape == (50, latent) == (50, len(model.get_feature_names_out()))
    model.save(tmp_path / "model")
    again = reverie.load(tmp_path / "model")
    assert again.latent is None
    np.testing.assert_allclose(again.transform(x), model.transform(x), rtol=1e-5, atol=1e-6)
    wide = Autoencoder(32, visible="gaussian", **FAST).fit(x)
    wide.save(tmp_path / "wide")
    assert json.loads((tmp_path / "wide" / "model.json").read_text())["parameters"]["latent"] == 32
    assert reverie.load(tmp_path / "wide").transform(x).shape == (50, 32)
