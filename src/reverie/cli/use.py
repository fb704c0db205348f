"""``reverie sample``, ``encode``, ``impute`` and ``predict``: use what a run has learned."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reverie.cli import options, progress
from reverie.cli.failures import memory_advice
from reverie.cli.fit import say_which
from reverie.cli.output import Output
from reverie.errors import DataError, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from reverie.data import Schema, Split
    from reverie.model import Model
    from reverie.run import Run
    from reverie.tempering import Tempered

Given = Annotated[
    str | None,
    typer.Option(
        "--given",
        metavar="FILE",
        help="One example with gaps (NaN, empty): only the gaps are drawn, given the rest, its label too.",
    ),
]
Mean = Annotated[bool, typer.Option("--mean", help="Write expected values: smoother than draws, and not draws.")]
Temperatures = Annotated[
    int | None,
    typer.Option(
        "--temperatures",
        metavar="N",
        min=2,
        help="Draw by parallel tempering: chains at N temperatures exchange places, which leads them out of modes.",
        show_default="none: plain chains",
    ),
]
Label = Annotated[
    str | None,
    typer.Option("--label", metavar="Y", help="Draw examples of this class only; of models that learned labels."),
]
Sampler = Annotated[
    str | None,
    typer.Option(
        "--sampler",
        metavar="NAME",
        help="What a chain does: gibbs, langevin or gibbs-langevin; of models of the kind gaussian-rbm.",
        show_default="the model's own",
    ),
]
StepSize = Annotated[
    float | None,
    typer.Option(
        "--step-size",
        metavar="X",
        help="Size of Langevin moves, at most 1: larger ones go further and are refused more often.",
        show_default="the model's own",
    ),
]
Probabilities = Annotated[
    bool, typer.Option("--probabilities", help="Write p(y | x) of every class beside the label, a column each.")
]
Number = Annotated[int, typer.Option("-n", "--number", metavar="N", min=1, help="How many examples to draw.")]


def sample(
    folder: options.RunFolder,
    out: options.OutOrShown = None,
    number: Number = 64,
    seed: options.Draw = None,
    burn_in: options.BurnIn = None,
    temperatures: Temperatures = None,
    label: Label = None,
    sampler: Sampler = None,
    step_size: StepSize = None,
    mean: Mean = False,
    given: Given = None,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Dream new examples from the model in RUN, and write them to FILE, or show them.

    Draws of a table look like it: words for categories, whole numbers, and as many decimals as each column has.

    For example: reverie sample run -n 64 --out samples.png
    """
    import numpy as np

    from reverie.evidence.draws import drawn_labels

    output, run, model = _begin("sample", folder, out, overwrite, as_json)
    facts: dict[str, Any] = {}
    schema = run.config.data.table_schema
    has_target = schema is not None and schema.target_name is not None
    with memory_advice(None):
        if temperatures is None:
            example = None if given is None else _read(output, run, given)
            held = None if example is None else _one(example.x, str(given))
            y = None if label is None else _known_label(model, label)
            if y is None and example is not None and example.y is not None and model.labels:
                y = _known_label(model, str(example.y[0]), f"--given {given}")
            facts = {} if y is None else {"label": y}
            chain = {"burn_in": burn_in, "sampler": sampler, "step_size": step_size}
            draws = _call(model, "sample", number, **chain, given=held, y=y, mean=mean or None, seed=seed)
        else:
            alone = {"given": given, "label": label, "mean": mean or None, "sampler": sampler, "step-size": step_size}
            tempered = _temper(output, model, number, alone, temperatures=temperatures, steps=burn_in, seed=seed)
            draws, facts = tempered.samples, _how_tempered(output, tempered)
        labels = None
        if has_target and "label" in facts:
            labels = np.full(len(draws), facts["label"])
        elif has_target and model.labels and not mean and hasattr(model, "predict_proba"):
            labels = drawn_labels(model, draws, model.seed if seed is None else seed)
    kind = "means" if mean else "draws"
    if out is None:
        if as_json:
            shown = _records(run, model, draws, labels)
            output.result(draws=shown, n=len(draws), kind=kind, **{k: v for k, v in facts.items() if k != "said"})
        else:
            output.line("\n".join(_lines(run, model, draws, labels)))
        return
    _write(run, model, draws, out, labels)
    of = "" if label is None else f" of class {label}"
    shape = "" if model.sequences else f" of {_shape(draws)}"
    output.line(f"{len(draws):,} {kind}{of}{shape} written to {out}")
    if "said" in facts:
        output.line(facts.pop("said"))
    output.result(file=str(out), n=len(draws), shape=list(draws.shape[1:]), kind=kind, **facts)


def encode(
    folder: options.RunFolder,
    source: options.DataSource,
    out: options.OutTable,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Write the features that the model in RUN finds in DATA to FILE, a row for each example, in their order.

    For example: reverie encode run new.csv --out features.npy
    """
    from reverie import data

    output, run, model = _begin("transform", folder, out, overwrite, as_json, images=False)
    with memory_advice(None):
        features = _call(model, "transform", _read(output, run, source).x)
    names = tuple(map(str, model.get_feature_names_out())) if hasattr(model, "get_feature_names_out") else ()
    data.write(features, out, columns=names if features.ndim == 2 else ())
    output.line(f"{_shape(features)} features of each of {len(features):,} examples written to {out}")
    output.result(file=str(out), n=len(features), shape=list(features.shape[1:]))


def impute(
    folder: options.RunFolder,
    source: options.DataSource,
    out: options.OutFile,
    seed: options.Draw = None,
    burn_in: options.BurnIn = None,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Draw what is missing in DATA (NaN, empty cells) given the rest, and write it to FILE, in the order of DATA.

    Labels, where DATA has any, are written as they are; what is missing is drawn without a look at them. In a table,
    what is drawn has as many decimals as the column had in training; what is given stays as it is.

    For example: reverie impute run gaps.csv --out filled.csv
    """
    import numpy as np

    from reverie.evidence.gaps import filled_by, own_steps

    output, run, model = _begin("impute", folder, out, overwrite, as_json)
    examples = _read(output, run, source)
    x, schema = examples.x, run.config.data.table_schema
    parts = list(x) if model.sequences else [x]
    gaps = sum(int(np.isnan(part).sum()) for part in parts if part.dtype.kind == "f")
    if not gaps:
        output.warn(f"{source}: nothing is missing in it, so there is nothing to draw")
    with memory_advice(None):
        filled = _call(model, "impute", x, burn_in=burn_in, seed=seed)
    _write(run, model, filled, out, None if schema is None or schema.target_name is None else examples.y, given=x)
    output.line(f"{gaps:,} missing entries of {len(filled):,} examples drawn and written to {out}")
    steps = own_steps(model) if burn_in is None else burn_in
    output.line(f"filled by {filled_by(model.imputation, steps)}")
    output.result(file=str(out), n=len(filled), missing=gaps, imputation=model.imputation, steps=steps)


def predict(
    folder: options.RunFolder,
    source: options.DataSource,
    out: options.OutTable,
    probabilities: Probabilities = False,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Write the likeliest label of each example in DATA under the model in RUN to FILE, in the order of DATA.

    A mixture or k-means gives the number of each example's cluster, an HMM the state of every step; any other run must
    have learned labels: `reverie fit rbm digits --out run --set labels=true --set batch_size=10
    --set binarise=threshold`.

    For example: reverie predict run new.npy --out labels.csv
    """
    import numpy as np

    from reverie import data

    output, run, model = _begin("predict", folder, out, overwrite, as_json, images=False)
    examples = _read(output, run, source)
    if model.sequences:
        _predict_steps(output, model, examples.x, out, probabilities)
        return
    with memory_advice(None):
        label = np.asarray(_call(model, "predict", examples.x))
        p = _call(model, "predict_proba", examples.x) if probabilities else np.empty((len(label), 0))
    classes = getattr(model, "classes_", None)  # where it has none, components or clusters are numbered
    columns = tuple(f"p_{one}" for one in (range(p.shape[1]) if classes is None else classes)) if probabilities else ()
    what = "cluster" if classes is None else "label"
    data.write(p, out, columns=columns, labels=label, called=what)
    output.line(f"{what}s{' and probabilities' * probabilities} of {len(p):,} examples written to {out}")
    agree = None if examples.y is None or classes is None else float((label == examples.y).mean())
    if agree is not None:
        learned = ", some of which it learned from" if source == run.config.data.source else ""
        output.line(f"{agree:.2%} of them agree with the labels of {source}{learned}")
    output.result(file=str(out), n=len(p), classes=None if classes is None else classes.tolist(), agree=agree)


def _predict_steps(output: Output, model: Model, x: NDArray[Any], out: Path, probabilities: bool) -> None:
    """Write the hidden state of every step of sequences, or how probable each is."""
    from reverie import data

    with memory_advice(None):
        found = list(_call(model, "predict_proba" if probabilities else "predict", x))
    columns = tuple(f"p_{state}" for state in range(found[0].shape[-1])) if probabilities else ("state",)
    data.write(found, out, columns=columns)
    steps = sum(map(len, found))
    what = "probabilities of the states" if probabilities else "states"
    output.line(f"{what} of {steps:,} steps of {len(found):,} sequences written to {out}")
    output.result(file=str(out), n=len(found), steps=steps)


def fitted(run: Run) -> Model:
    """The model of a run.

    Raises:
        DataError: its training was killed before a model was saved.
    """
    if run.config.status == "training" and not (run.path / "model").exists():
        raise DataError(
            f"{run.path}: the training was cut short before a model was saved, or still goes on; "
            f"`reverie fit --resume --out {run.path}` goes on with it"
        )
    return run.model()


def _begin(
    ability: str, folder: Path, out: Path | None, overwrite: bool, as_json: bool, images: bool = True
) -> tuple[Output, Run, Model]:
    """How each of these commands begins: the voice, and a run with a model that is able to do what is asked.

    Raises:
        UsageError: ``out`` cannot be written, or the model cannot do it.
    """
    from reverie.run import Run

    output = Output(as_json)
    run = Run.open(folder)
    pictures = len(run.config.data.shape) > 1
    if out is not None:
        options.check_writable(out, overwrite, images and pictures)
    elif pictures:
        raise UsageError(f"{folder}: its examples are images, which no line can show; give --out samples.png")
    model = fitted(run)
    try:
        getattr(model, ability)
    except AttributeError as error:
        if ability == "predict":
            raise UsageError(f"{folder}: {_no_labels(model)}") from None
        raise UsageError(f"{folder}: {error}") from None
    if run.config.status != "finished":
        output.warn(f"{folder}: its training has not finished ({run.config.status})")
    return output, run, model


def _call(model: Model, verb: str, *arguments: Any, **wanted: Any) -> Any:
    """A verb of the model with those of the options that were given, if it has them.

    Raises:
        UsageError: it does not, or the option goes with another one.
    """
    given = {name: value for name, value in wanted.items() if value is not None}
    method = getattr(model, verb, None)
    taken = {} if method is None else inspect.signature(method).parameters
    any_name = any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values())
    unknown = [name for name in given if name not in taken and not any_name]
    if unknown or method is None:
        option = {"y": "label"}.get(unknown[0], unknown[0].replace("_", "-"))
        raise UsageError(f"--{option}: a model of the kind {model.name} has no such option")
    if "step_size" in given and given.get("sampler", "gibbs") == "gibbs":
        raise UsageError("--step-size: Gibbs steps have none; give --sampler langevin or gibbs-langevin with it")
    return method(*arguments, **given)


def _known_label(model: Model, text: str, source: str = "") -> Any:
    """The label that a word of the command line, or of the file ``source``, stands for.

    Raises:
        UsageError: the model has learned no labels, or not this one.
    """
    source = source or f"--label {text}"
    if not model.labels:
        raise UsageError(f"{source}: {_no_labels(model)}")
    for label in model.classes_.tolist():
        if text in (str(label), f"{label:g}" if isinstance(label, float) else str(label).lower()):
            return label
    known = ", ".join(map(str, model.classes_.tolist()[:20])) + ", …" * (len(model.classes_) > 20)
    raise UsageError(f"{source}: the run has learned no such label as {text}; there are {known}")


def _no_labels(model: Model) -> str:
    """Why a model knows no labels, and which one would."""
    if model.labels:
        return f"a model of the kind {model.name} draws by label and cannot predict any"
    if "labels" in model.get_params():
        return "this run has learned no labels; fit one with --set labels=true"
    able = "naive-bayes does, and so do rbm and dbn with --set labels=true"
    return f"a model of the kind {model.name} learns no labels; {able}"


def _temper(output: Output, model: Model, number: int, alone: dict[str, Any], **wanted: Any) -> Tempered:
    """Draws by parallel tempering, which begins in independent columns and takes no other options.

    Raises:
        UsageError: it was given one.
    """
    for option, value in alone.items():
        if value is not None:
            raise UsageError(f"--temperatures draws whole examples from all there are; leave --{option} out")
    with progress.working(output) as tell:
        tempered: Tempered = _call(model, "temper", number, **wanted, report=tell)
    return tempered


def _how_tempered(output: Output, tempered: Tempered) -> dict[str, Any]:
    """How well the chains got on: fields of the result, and in words."""
    low, high = float(tempered.acceptance.min()), float(tempered.acceptance.max())
    if not tempered.round_trips:
        output.warn(
            "no chain went from the bottom of the ladder to its top and back, so that modes may be missing among the "
            "draws; give more --temperatures or a longer --burn-in"
        )
    said = f"exchanges accepted: {low:.0%} to {high:.0%}; round trips in 1,000 steps: {tempered.round_trips:.2g}"
    acceptance = tempered.acceptance.tolist()
    return {"said": said, "acceptance": acceptance, "round_trips": tempered.round_trips, "steps": tempered.steps}


def _read(output: Output, run: Run, source: str) -> Split:
    """All examples of a source in its order, which must look like those that the run was trained on.

    Raises:
        DataError: they do not.
    """
    from reverie import data

    say_which(output, source)
    was = run.config.data
    kept = ("size", "colour", "sequence", "time")
    how = {name: was.options[name] for name in kept if was.options.get(name) is not None}
    schema = was.table_schema
    if schema is not None and (schema.coded or schema.target_name is not None or schema.sequence is not None):
        how = {name: value for name, value in how.items() if name in ("size", "colour")} | {"schema": schema}
    elif was.alphabet:
        how["alphabet"] = was.alphabet
    try:
        found = data.load(source, test=0.0, validation=0.0, strict=True, **how)
    except UsageError as error:  # the options are those of the run, so that it is the data that do not fit them
        raise DataError(str(error)) from error
    if found.columns and was.columns and list(found.columns) != was.columns:
        raise DataError(f"{source}: its columns are {', '.join(found.columns)}; the run's are {', '.join(was.columns)}")
    if list(found.shape) != was.shape and (len(found.shape) > 1 or found.shape[0] != _entries(was.shape)):
        raise DataError(f"{source}: its examples are {_words(found.shape)}; those of the run are {_words(was.shape)}")
    return found.train


def _one(x: NDArray[Any], source: str) -> NDArray[Any]:
    if len(x) != 1:
        raise DataError(f"--given {source}: it holds {len(x):,} examples; one is needed")
    example: NDArray[Any] = x[0]
    return example


def _write(
    run: Run,
    model: Model,
    x: NDArray[Any],
    out: Path,
    labels: NDArray[Any] | None = None,
    given: NDArray[Any] | None = None,
) -> None:
    """Draws as the run's data are, whose white is 1 where the model deals in zeros and ones.

    Numbers of a table are rounded to the decimals of its columns, but for those that were ``given``.
    """
    from reverie import data

    was, white = run.config.data, None if model.sequences else run.white(model)
    columns, schema = tuple(was.columns), was.table_schema
    if schema is not None:
        x = _rounded(schema, x, given)
    data.write(x, out, columns=columns, maximum=white, labels=labels, schema=schema, alphabet=was.alphabet)


def _rounded(schema: Schema, x: NDArray[Any], given: NDArray[Any] | None) -> NDArray[Any]:
    """Rows, or sequences of them, as the table has numbers; entries that are there in ``given`` stay what they are."""
    import numpy as np

    from reverie.data import sequences
    from reverie.objects import objects

    if sequences.is_ragged(x):
        held = [None] * len(x) if given is None else given
        return objects([_rounded(schema, one, known) for one, known in zip(x, held, strict=True)])
    rounded = schema.round(x)
    return rounded if given is None or given.dtype.kind != "f" else np.where(np.isnan(given), rounded, x)


def _lines(
    run: Run, model: Model, x: NDArray[Any], labels: NDArray[Any] | None, ending: str | None = None
) -> list[str]:
    """Examples as lines: sequences of characters as text, what else is sequences as JSON, and tables as CSV."""
    ending = ending or (".txt" if _is_text(run, model) else ".jsonl" if model.sequences else ".csv")
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"draws{ending}"
        _write(run, model, x, path, labels)
        return path.read_text(encoding="utf-8").splitlines()


def _records(run: Run, model: Model, x: NDArray[Any], labels: NDArray[Any] | None) -> list[Any]:
    """Examples as JSON has them: text as strings, rows of named columns as objects, what else there is as arrays."""
    if _is_text(run, model):
        return _lines(run, model, x, labels)
    found = [json.loads(line) for line in _lines(run, model, x, labels, ".jsonl")]
    named = model.sequences or run.config.data.columns or run.config.data.table_schema is not None
    return found if named else [list(row.values()) for row in found]


def _is_text(run: Run, model: Model) -> bool:
    """Whether examples are sequences of characters."""
    return model.sequences and all(len(symbol) == 1 for symbol in run.config.data.alphabet or ["no text"])


def _entries(shape: list[int]) -> int:
    total = 1
    for side in shape:
        total *= side
    return total


def _shape(x: NDArray[Any]) -> str:
    return _words(x.shape[1:])


def _words(shape: Any) -> str:
    return " × ".join(map(str, shape))
