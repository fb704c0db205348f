"""``reverie models``: what there is to fit, and what each model takes."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reverie.cli import options
from reverie.cli.output import Output

if TYPE_CHECKING:
    from reverie.parameters import Parameter


def models(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="The model to describe.", autocompletion=options.complete_model)
    ] = None,
    as_json: options.Json = False,
) -> None:
    """List the models, or the arguments of one: what each takes, its default and its meaning."""
    from reverie import registry

    output = Output(as_json)
    if name is None:
        output.table(registry.names().items(), header=("model", "what it is"))
        output.note("`reverie models NAME` lists what a model takes.")
        output.result(models=registry.names())
    else:
        _describe(output, name)


def _describe(output: Output, name: str) -> None:
    from reverie import parameters, registry

    cls = registry.get(name)
    arguments = parameters.schema(cls)
    output.line(f"{name}: {registry.about(name)}", style="bold")
    _section(output, "--set", arguments)
    for argument in arguments:
        for choice in argument.choices:
            output.line()
            output.line(f"{argument.name}={choice.__name__}: {_summary(choice)}", style="bold")
            _section(output, f"--set {argument.name}={choice.__name__} --set", parameters.schema(choice), argument.name)
    output.line()
    output.line(f"For example: {example(name, arguments, cls.sequences)}")
    output.result(
        name=name,
        about=registry.names()[name],
        arguments=[_plain(a) for a in arguments],
        principles={
            a.name: {c.__name__: [_plain(inner) for inner in parameters.schema(c)] for c in a.choices}
            for a in arguments
            if a.choices
        },
        example=example(name, arguments, cls.sequences),
    )


def example(name: str, arguments: list[Parameter], sequences: bool) -> str:
    """A command that works as it is, within seconds: a small model, and batches that suit the few bundled digits."""
    if sequences:
        return f"reverie fit {name} words --out run --set {arguments[0].name}=10 --set epochs=20"
    first, known = arguments[0], {argument.name for argument in arguments}
    words = ["reverie fit", name, "digits --out run"]
    if isinstance(first.default, int | tuple):
        words.append(
            f"--set {first.name}={'64,32' if isinstance(first.default, tuple) else 64 if 'hidden' in known else 20}"
        )
    if "batch_size" in known:
        words.append("--set batch_size=10")
    if next((a.default for a in arguments if a.name == "visible"), "bernoulli") != "bernoulli":
        words.append("--set visible=bernoulli")
    if "binarise" in known:
        words.append("--set binarise=threshold")
    return " ".join(words)


def _section(output: Output, how: str, arguments: list[Parameter], prefix: str = "") -> None:
    named = f"{prefix}." if prefix else ""
    rows = [(f"{named}{a.name}", a.takes, options.plain(a.default), a.help) for a in arguments]
    output.line(f"{how} NAME=VALUE", style="dim")
    output.table(rows, header=("name", "takes", "default", "meaning"))


def _summary(cls: type) -> str:
    """The first line of a class's docstring."""
    return (cls.__doc__ or "").strip().partition("\n")[0]


def _plain(argument: Parameter) -> dict[str, Any]:
    return {**asdict(argument), "choices": [choice.__name__ for choice in argument.choices]}
