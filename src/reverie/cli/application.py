"""The application: its commands, and the one place where errors become exit codes."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Never, TextIO

import typer
from typer.core import TyperGroup

from reverie import __version__
from reverie.cli import compare, data, demo, doctor, failures, fit, models, options, runs, use, versus
from reverie.cli.output import Output

_ANYWHERE = {"-v": "--verbose", "--verbose": "--verbose"}


class Commands(TyperGroup):
    """The root of the commands; whatever one of them raises ends here as one line and an exit code."""

    words: Sequence[str] = ()

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Never:
        """Run the command that ``args`` name, as ``reverie`` whatever the program is called, and exit."""
        self.words = _hoisted(sys.argv[1:] if args is None else args)
        with warnings.catch_warnings():
            warnings.showwarning = partial(_warn, Output("--json" in self.words))
            sys.exit(self._run(complete_var, extra))

    def _run(self, complete_var: str | None, extra: dict[str, Any]) -> int:
        try:
            code = super().main(list(self.words), "reverie", complete_var, standalone_mode=False, **extra)
            sys.stdout.flush()
        except SystemExit as stop:
            if isinstance(stop.__context__, BrokenPipeError):  # rich, which prints the help, exits by itself
                return failures.report(stop.__context__, self.words)
            raise
        except Exception as error:  # a line that cannot be parsed, or a reader who has gone
            return failures.report(error, self.words)
        return code if isinstance(code, int) else 0

    def invoke(self, ctx: Any) -> Any:
        """Run the command; Ctrl-C must be met here, since typer keeps it for itself further out."""
        try:
            return super().invoke(ctx)
        except (typer.Exit, SystemExit):
            raise
        except BaseException as error:
            raise typer.Exit(failures.report(error, self.words)) from None


app = typer.Typer(
    cls=Commands,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
    epilog="Start with `reverie demo`. Results go to stdout, progress to stderr.",
)


@app.callback()
def root(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show the traceback of an error; may stand anywhere on the line.")
    ] = False,
) -> None:
    """Deep generative models that learn your data, dream more of it, and show the evidence."""
    if version:
        typer.echo(f"reverie {__version__}")
        raise typer.Exit
    options.show_help_alone(ctx)


app.command()(demo.demo)
app.command()(fit.fit)
app.command()(runs.evaluate)
app.command()(use.sample)
app.command()(runs.report)
app.command()(runs.inspect)
app.command()(use.encode)
app.command()(use.impute)
app.command()(use.predict)
app.command()(compare.compare)
app.command()(versus.versus)
app.command()(models.models)
app.add_typer(data.app, name="data")
app.command()(doctor.doctor)


def main() -> Never:
    """The console entry point."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that has no "×" shows "?" instead of a traceback
    app()
    raise AssertionError("the application exits by itself")


def _hoisted(words: Sequence[str]) -> list[str]:
    """``words`` with --verbose in front, wherever before a ``--`` it stood."""
    end = words.index("--") if "--" in words else len(words)
    kept = [word for word in words[:end] if word not in _ANYWHERE]
    return ["--verbose"] * (len(kept) < end) + kept + list(words[end:])


def _warn(
    output: Output,
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """A library's warning as one line or event, instead of a place in its source."""
    output.warn(str(message))
