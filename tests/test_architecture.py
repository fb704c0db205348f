"""The house's rules, checked in its own sources: who imports whom, what costs time at start, what is never used."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest

import reverie
from reverie import registry

SOURCE = Path(reverie.__file__).parent
# From the ground up. A room may import rooms below it, and modules of its own.
FLOORS = [
    {"errors"},
    {
        "files",
        "units",
        "random",
        "contract",
        "device",
        "binary",
        "encoding",
        "labels",
        "objects",
        "graphs",
        "sweeps",
        "parameters",
        "tempering",
        "inference",
    },
    {"learning", "evidence", "storage"},
    {"model"},
    {"energy", "density"},
    {"models"},
    {"classifier"},
    {"registry"},
    {"run", "versus"},
    {"comparison"},
    {"report"},
    {"cli"},
]
FLOOR = {room: height for height, rooms in enumerate(FLOORS) for room in rooms}
GROUND = FLOORS[0] | FLOORS[1]
# Beside the house: what `data` may import of it, and who may import `data`.
DATA_MAY = {"errors", "files", "objects"}
MAY_USE_DATA = {"run", "comparison", "report", "cli"}
MODULES = sorted(p.relative_to(SOURCE) for p in SOURCE.rglob("*.py"))


@dataclass(frozen=True)
class Import:
    """One import of a module, by line; ``typing`` if only under TYPE_CHECKING, ``lazy`` if inside a function."""

    module: str
    line: int
    typing: bool
    lazy: bool


def room(path: Path) -> str:
    return path.parts[0].removesuffix(".py")


def name_of(path: Path) -> str:
    return ".".join(["reverie", *path.with_suffix("").parts]).removesuffix(".__init__")


def exists(module: str) -> bool:
    path = SOURCE.joinpath(*module.split(".")[1:])
    return path.with_suffix(".py").exists() or path.is_dir()


def imports(path: Path) -> Iterator[Import]:
    """Every import statement of a source, with relative names and ``from package import module`` resolved."""
    tree = ast.parse((SOURCE / path).read_text(encoding="utf-8"))

    def visit(node: ast.AST, typing: bool, lazy: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, typing, lazy)
        elif isinstance(node, ast.ImportFrom):
            home = node.module or ""
            if node.level:
                parts = name_of(path).split(".")
                package = parts if path.name == "__init__.py" else parts[:-1]
                home = ".".join([*package[: len(package) - node.level + 1], *home.split(".")]).rstrip(".")
            for alias in node.names:
                inner = f"{home}.{alias.name}"
                yield Import(inner if home.startswith("reverie") and exists(inner) else home, node.lineno, typing, lazy)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.body:
                yield from visit(child, True, lazy)
            for child in node.orelse:
                yield from visit(child, typing, lazy)
        else:
            inside = lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            for child in ast.iter_child_nodes(node):
                yield from visit(child, typing, inside)

    yield from visit(tree, False, False)


def own(path: Path) -> Iterator[tuple[str, Import]]:
    """The imports of reverie itself, by room; ``from reverie import __version__`` is nobody's room."""
    for found in imports(path):
        first, _, rest = found.module.partition(".")
        if first == "reverie" and rest:
            yield rest.split(".")[0], found


def test_every_module_has_its_floor():
    rooms = {room(p) for p in MODULES} - {"__init__", "data", "__main__"}
    assert rooms == set(FLOOR), "a new room belongs on a floor of this test and into docs/architecture.md"


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_imports_run_one_way(path):
    """Also those for the type checker alone and those inside functions."""
    here = room(path)
    wrong = []
    for other, found in own(path):
        if here in {"__init__", "__main__"} or other == here:
            continue
        if here == "data":
            allowed = other in DATA_MAY
        elif other == "data":
            allowed = here in MAY_USE_DATA
        elif here in GROUND:
            allowed = other in GROUND and FLOOR[other] <= FLOOR[here]
        else:
            allowed = FLOOR[other] < FLOOR[here]
        if not allowed:
            wrong.append(f"{path}:{found.line} imports {found.module}")
    assert not wrong


def test_the_ground_floor_has_no_circles():
    """Imports among the small modules at the bottom form no circle (the contract's are for the type checker)."""
    graph: dict[str, set[str]] = {here: set() for here in GROUND}
    for path in MODULES:
        if (here := room(path)) in GROUND:
            graph[here] |= {other for other, found in own(path) if other in GROUND - {here} and not found.typing}
    while graph:
        free = {here for here, needs in graph.items() if not needs & graph.keys()}
        assert free, f"a circle among {sorted(graph)}"
        graph = {here: needs for here, needs in graph.items() if here not in free}


# What one family may know of another: a Gaussian-Bernoulli machine is an RBM, and a deep belief network stacks them.
SHARED = {"reverie.models.nets", "reverie.models.latent", "reverie.models.players", "reverie.models.ragged"}
"""Networks, what models of a latent have in common, those of a game too, and sequences in and out: no families."""
BUILT_ON = {
    "reverie.models.gaussian_rbm": {"reverie.models.rbm"},
    "reverie.models.dbn": {"reverie.models.rbm"},
    "reverie.models.kmeans": {"reverie.models.mixture"},
}


def test_models_know_each_other_only_where_one_is_built_on_another():
    """A page is readable alone: a family imports no other but what it is built on; ``nets`` is the one shared page."""
    for path in MODULES:
        if room(path) == "models":
            others = {found.module for other, found in own(path) if other == "models"} - {name_of(path)}
            assert others <= SHARED | BUILT_ON.get(name_of(path), set()), path


def test_no_family_is_named_below_the_registry():
    """Learning, evidence, storage and the base know contracts, never a family."""
    families = {p.stem for p in MODULES if room(p) == "models"} - {"__init__", "nets"}
    assert families
    for path in MODULES:
        if room(path) in GROUND | FLOORS[2] | FLOORS[3]:
            for _, found in own(path):
                assert not set(found.module.split(".")) & families, f"{path}:{found.line}"


def third_party(path: Path) -> Iterator[Import]:
    for found in imports(path):
        if found.module.split(".")[0] not in sys.stdlib_module_names | {"reverie", "__future__"}:
            yield found


@pytest.mark.parametrize("path", [p for p in MODULES if room(p) == "data"], ids=str)
def test_data_knows_no_torch(path):
    for found in third_party(path):
        top = found.module.split(".")[0]
        assert top in {"numpy", "pyarrow", "PIL", "sklearn"}, f"{path}:{found.line} imports {found.module}"
        assert top == "numpy" or found.lazy or found.typing, (
            f"{path}:{found.line}: {found.module} belongs in a function"
        )


def test_only_declared_packages_are_imported():
    declared = {"torch", "numpy", "sklearn", "safetensors", "pyarrow", "PIL", "pydantic", "typer", "rich", "jinja2"}
    brought_along = {"click", "markupsafe", "scipy"}
    for path in MODULES:
        for found in third_party(path):
            assert found.module.split(".")[0] in declared | brought_along, f"{path}:{found.line} {found.module}"


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_nothing_is_unpickled(path):
    """No pickle, joblib or shelve, no torch.load or eval, and NumPy is never allowed to."""
    for found in imports(path):
        assert found.module.split(".")[0] not in {"pickle", "joblib", "shelve", "marshal", "dill"}, (
            f"{path}:{found.line}"
        )
    for node in ast.walk(ast.parse((SOURCE / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in {"torch.load", "eval", "exec", "torch.jit.load"}, f"{path}:{node.lineno}: {called}"
            for keyword in node.keywords:
                if keyword.arg == "allow_pickle":
                    assert ast.unparse(keyword.value) == "False", f"{path}:{node.lineno}"


@pytest.mark.parametrize("path", [p for p in MODULES if room(p) not in {"random", "data"}], ids=str)
def test_there_is_one_source_of_randomness(path):
    """Outside reverie.random (and the data beside the house) nobody draws from torch, NumPy or the standard library."""
    for found in imports(path):
        assert found.module not in {"random", "secrets", "numpy.random"}, f"{path}:{found.line}"
    draws = {"rand", "randn", "randint", "bernoulli", "multinomial", "normal", "randperm", "manual_seed", "rand_like"}
    for node in ast.walk(ast.parse((SOURCE / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            whole = ast.unparse(node)
            assert not whole.startswith("np.random."), f"{path}:{node.lineno}: {whole}"
            assert not (whole.startswith("torch.") and node.attr in draws), f"{path}:{node.lineno}: {whole}"


# What it costs to begin -----------------------------------------------------------------------------------------------

HEAVY = {"torch", "sklearn", "scipy", "pandas", "pyarrow", "safetensors", "PIL", "jinja2"}


def loaded_by(code: str) -> set[str]:
    """Top-level packages that a fresh interpreter holds after running ``code``."""
    code += "\nimport sys, json; sys.stderr.write('\\n' + json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    environment = {**os.environ, "PYTHONPATH": str(SOURCE.parent), "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60, env=environment
    )
    return set(json.loads(run.stderr.splitlines()[-1]))


@pytest.mark.parametrize(
    "code",
    [
        "import reverie; reverie.__version__; dir(reverie)",
        "import reverie.errors, reverie.registry; reverie.registry.names()",
        "import reverie.cli",
        "import sys, contextlib\nfrom reverie.cli import main\nsys.argv = ['reverie', '--help']\n"
        "with contextlib.suppress(SystemExit): main()",
    ],
    ids=["reverie", "registry", "cli", "help"],
)
def test_beginning_costs_little(code):
    """Neither torch nor scikit-learn, nor anything else that takes long, is imported before it is needed."""
    assert not loaded_by(code) & HEAVY


def test_importing_reverie_needs_no_numpy_either():
    assert not loaded_by("import reverie") & (HEAVY | {"numpy", "pydantic", "rich", "typer"})


def test_the_guard_sees_what_is_imported():
    """Guards the tests above: the same question about a public name finds torch."""
    assert {"torch", "sklearn", "numpy"} <= loaded_by("import reverie; reverie.RBM")


def test_every_public_name_can_be_had():
    for name in reverie.__all__:
        assert getattr(reverie, name) is not None
    assert set(dir(reverie)) == set(reverie.__all__)
    with pytest.raises(AttributeError, match="no attribute 'RBN'; its public names are"):
        reverie.RBN  # noqa: B018


@pytest.mark.parametrize("name", registry.names())
def test_every_registered_model_is_what_it_is_called(name):
    cls = registry.get(name)
    assert cls.name == name
    assert registry.names()[name]
    assert getattr(reverie, cls.__name__) is cls
    assert import_module(cls.__module__).__doc__


def test_a_line_about_a_model_does_not_say_its_name_again():
    assert registry.about("autoencoder").startswith("a code from which")
    assert registry.about("boltzmann").startswith("binary units")
    assert registry.about("gan") == registry.names()["gan"]  # which its name only abbreviates


def test_unknown_models_are_refused_with_a_suggestion():
    from reverie.errors import UsageError

    with pytest.raises(UsageError, match="did you mean rbm"):
        registry.get("rmb")
    with pytest.raises(UsageError, match=r"there are .*boltzmann, rbm"):
        registry.get("transformer")


def test_every_module_says_what_it_is():
    for path in MODULES:
        text = (SOURCE / path).read_text(encoding="utf-8")
        assert ast.get_docstring(ast.parse(text)), f"{path} has no docstring"
