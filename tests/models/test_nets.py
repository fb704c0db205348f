"""Networks: beside torch's own modules, of every size, and differentiable in all of their parameters."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from reverie.models.nets import ACTIVATIONS, MLP, Decoder, Encoder, _doubled, _doubled_to_one, _halved, _one_halved
from reverie.random import Random

SHAPES = [(8, 8, 1), (28, 28, 1), (32, 32, 3), (13, 21, 3), (3, 4, 1), (9, 40, 2), (1, 5, 1), (128, 128, 3)]


def test_an_mlp_is_torch_s_own():
    net = MLP((5, 7, 4, 3), "tanh")
    params = net.initialise(Random(0), "f.")
    assert {name: tuple(p.shape) for name, p in params.items()} == net.shapes("f.")
    layers = []
    for k in range(3):
        layer = nn.Linear(*net.sizes[k : k + 2])
        layer.weight.data, layer.bias.data = params[f"f.W{k}"].T, torch.full_like(params[f"f.b{k}"], 0.1 * k)
        params[f"f.b{k}"].fill_(0.1 * k)
        layers += [layer, nn.Tanh()]
    x = torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(net(x, params, "f."), nn.Sequential(*layers[:-1])(x))


def test_an_mlp_without_hidden_layers_is_linear():
    net = MLP((5, 3))
    params = net.initialise(Random(0))
    x, y = torch.randn(2, 4, 5, generator=torch.Generator().manual_seed(0)).unbind()
    torch.testing.assert_close(net(x + y, params), net(x, params) + net(y, params))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_scale_of_units_survives_many_layers(activation):
    """Ten layers of 200 at the beginning: neither vanishing nor exploding."""
    net = MLP((200,) * 11, activation)
    x = torch.randn(100, 200, generator=torch.Generator().manual_seed(0))
    spread = float(net(x, net.initialise(Random(0))).std(0).mean())
    least = 1e-9 if activation == "sigmoid" else 1e-2  # whose units hardly differ from one half
    assert least < spread < 30


@pytest.mark.parametrize("normed", [False, True], ids=["plain", "batch_norm"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_size_goes_down_and_comes_back(shape, normed):
    encoder = Encoder(shape, 6, 4, (5,), batch_norm=normed, context=2)
    decoder = Decoder(shape, 6, 4, (5,), batch_norm=normed, outputs=3)
    x, y = torch.rand(2, 3, shape[0] * shape[1] * shape[2]), torch.rand(2, 3, 2)
    first = [net.initialise(Random(k)) for k, net in enumerate((encoder, decoder))]
    held = [net.buffers() for net in (encoder, decoder)]
    for net, params in zip((encoder, decoder), first, strict=True):
        assert {name: tuple(p.shape) for name, p in params.items()} == net.shapes()
        assert min(net.sides[-1]) <= 4
        for p in params.values():
            p.requires_grad_()
    z = encoder(x, first[0], context=y, buffers=held[0], training=True)
    assert z.shape == (2, 3, 6)
    back = decoder(z, first[1], buffers=held[1], training=True)
    assert back.shape == (2, 3, 3 * x.shape[-1])
    loss = (back * torch.randn(back.shape, generator=torch.Generator().manual_seed(0))).sum()
    loss.backward()
    for params in first:
        for name, p in params.items():
            assert p.grad is not None, name
            assert p.grad.isfinite().all(), name


def test_convolutions_are_torch_s_own():
    """With height, width and channels in their order, and running averages as torch keeps them."""
    deep = Encoder((20, 18, 3), 5, 4, activation="leaky-relu", batch_norm=True)
    params, held = deep.initialise(Random(0)), deep.buffers()
    assert deep.sides == [(20, 18), (10, 9), (5, 4)]
    first, second, norm = nn.Conv2d(3, 4, 4, 2, 1), nn.Conv2d(4, 8, 4, 2, 1, bias=False), nn.BatchNorm2d(8)
    first.weight.data = params["K0"].permute(0, 3, 1, 2)
    first.bias.data = params["c0"]
    second.weight.data = params["K1"].permute(0, 3, 1, 2)
    x = torch.rand(7, 20, 18, 3, generator=torch.Generator().manual_seed(0))
    f = nn.LeakyReLU(0.2)
    for training in (True, False):
        norm.train(training)
        maps = f(norm(second(f(first(x.permute(0, 3, 1, 2))))))
        flat = maps.permute(0, 2, 3, 1).flatten(1)
        wanted = flat @ params["dense.W0"] + params["dense.b0"]
        torch.testing.assert_close(deep(x.flatten(1), params, buffers=held, training=training), wanted)
    torch.testing.assert_close(held["mean2"], norm.running_mean)
    torch.testing.assert_close(held["var2"], norm.running_var)


def test_a_decoder_transposes_an_encoder():
    """⟨E x, z⟩ = ⟨x, Eᵀ z⟩ for linear layers with the same kernels, of odd sizes too."""
    for shape in ((8, 8, 1), (13, 21, 3)):
        encoder, decoder = Encoder(shape, 6, 4), Decoder(shape, 6, 4)
        down = {name: p.double() for name, p in encoder.initialise(Random(0)).items()}
        up = {name: torch.zeros(form, dtype=torch.float64) for name, form in decoder.shapes().items()}
        up |= {name: p for name, p in down.items() if name.startswith("K")} | {"dense.W0": down["dense.W0"].T}
        x = torch.rand(1, shape[0] * shape[1] * shape[2], dtype=torch.float64)
        z = torch.rand(1, 6, dtype=torch.float64)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("reverie.models.nets.ACTIVATIONS", {"relu": lambda t: t})
            torch.testing.assert_close((encoder(x, down) * z).sum(), (x * decoder(z, up)).sum())


@pytest.mark.parametrize("sides", [(32, 32), (28, 28), (7, 9), (8, 13)])
def test_a_single_map_is_made_as_several_are(sides):
    """The product that is faster for one map gives what torch's transposed convolution gives, and its slopes."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 5, sides[0] // 2, sides[1] // 2, generator=generator, dtype=torch.float64).requires_grad_()
    kernel = torch.randn(5, 4, 4, 1, generator=generator, dtype=torch.float64).requires_grad_()
    bias = torch.randn(1, generator=generator, dtype=torch.float64).requires_grad_()
    slow, fast = (doubled(x, kernel, bias, sides) for doubled in (_doubled, _doubled_to_one))
    torch.testing.assert_close(fast, slow)
    weights = torch.randn(slow.shape, generator=generator, dtype=torch.float64)
    slopes = [torch.autograd.grad(y, (x, kernel, bias), weights) for y in (slow, fast)]
    for one, other in zip(*slopes, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("sides", [(8, 8), (9, 8), (8, 11), (13, 21), (2, 2), (3, 5)])
def test_halving_a_single_map_has_the_convolution_s_values_slopes_and_slopes_of_slopes(sides):
    """Gradient penalties differentiate twice."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 1, *sides, generator=generator, dtype=torch.float64).requires_grad_()
    kernel = torch.randn(5, 4, 4, 1, generator=generator, dtype=torch.float64).requires_grad_()
    bias = torch.randn(5, generator=generator, dtype=torch.float64).requires_grad_()
    weights = torch.randn(3, 5, sides[0] // 2, sides[1] // 2, generator=generator, dtype=torch.float64)
    found = []
    for halved in (_halved, _one_halved):
        y = halved(x, kernel, bias)
        slopes = torch.autograd.grad((y.sin() * weights).sum(), (x, kernel, bias), create_graph=True)
        steep = torch.autograd.grad(slopes[0].square().sum(), (x, kernel, bias))
        found.append((y, *slopes, *steep))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)
