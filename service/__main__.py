"""The command line: `python -m service COMMAND`, or `mgeo COMMAND` installed from a wheel.

`--help` lists them.
"""

from __future__ import annotations

import argparse
import contextlib
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from service import __version__, console, settings
from service.errors import ConsoleError, MGeoError
from service.settings import BUNDLED
from telemetry import environment
from telemetry.environment import TelemetryError

if TYPE_CHECKING:
    from tqdm import tqdm


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit status: 0 done, 1 the service failed while running or is not ready, 2 the command
        cannot run, 130 it was interrupted.
    """
    closed = console.open_streams()
    parsed = _parser().parse_args(arguments)
    try:
        environment.check()  # before OpenTelemetry is imported, which fails on some values
        if "stdout" in closed and parsed.run != _serve and getattr(parsed, "output", "-") == "-":
            raise ConsoleError("standard output is closed: there is nowhere to write the answer to")
        if "stdin" in closed and getattr(parsed, "input", None) == "-":
            raise ConsoleError("standard input is closed: name a file instead of -, or pipe one in")
        status: int = parsed.run(parsed)
    except (MGeoError, TelemetryError) as error:
        print(f"mgeo: error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # whoever read our output has seen enough, as `head` has
        console.discard()
        return 1
    except KeyboardInterrupt:  # those that keep something have said what
        print("mgeo: interrupted", file=sys.stderr)
        return console.INTERRUPTED
    return status


class _Command(argparse.ArgumentParser):
    """One command. What only it needs is imported when it is the one that was given.

    Attributes:
        complete: Adds its flags and what runs it, before they are first parsed.
    """

    complete: Callable[[argparse.ArgumentParser], None] | None = None

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        if self.complete is not None:
            self.complete(self)
            self.complete = None
        return super().parse_known_args(args, namespace)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=console.COMMAND, description="MGeo: are two Chinese addresses the same place?"
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Command)

    serve = commands.add_parser("serve", help="answer predictions over HTTP")
    settings.add_flags(serve)
    serve.set_defaults(run=_serve)

    ready = commands.add_parser("ready", help="ask the service on this machine if it is ready")
    settings.add_flags(ready, "metrics_host", "metrics_port")
    ready.set_defaults(run=_ready)

    predict = commands.add_parser("predict", help="score one pair here, without a server")
    predict.add_argument("address1")
    predict.add_argument("address2")
    settings.add_flags(
        predict, "model", "device", "backend", "cpu_threads", "max_tokens", "normalize"
    )
    predict.set_defaults(run=_predict)

    score = commands.add_parser("score", help="score the pairs of a whole file")
    score.complete = _complete_score

    judge = commands.add_parser("evaluate", help="measure a model on labelled pairs of your own")
    judge.complete = _complete_evaluate

    index = commands.add_parser("index", help="make a register of addresses, or look at one")
    index.complete = _complete_index

    match = commands.add_parser("match", help="find the addresses of a file in a register")
    match.complete = _complete_match

    dedupe = commands.add_parser("dedupe", help="find the rows of a file that name the same place")
    dedupe.complete = _complete_dedupe

    key = commands.add_parser("key", help="make an API key, and its line for the file of keys")
    key.add_argument("name", metavar="NAME", help="whose key it is; shown in metrics")
    key.set_defaults(run=_key)

    model = commands.add_parser("model", help="look at a model, or download one")
    verbs = model.add_subparsers(required=True, metavar="VERB")
    info = verbs.add_parser("info", help="say what a model is, and whether it loads")
    info.add_argument("model", nargs="?", default=BUNDLED, help="as MGEO_MODEL")
    info.set_defaults(run=_model_info)
    compare = verbs.add_parser("compare", help="measure each backend here, and recommend one")
    compare.add_argument("model", nargs="?", default=BUNDLED, help="as MGEO_MODEL")
    settings.add_flags(compare, "device", "cpu_threads", "max_tokens")
    compare.set_defaults(run=_model_compare)
    fetch = verbs.add_parser("fetch", help="download a model from ModelScope, or finish doing so")
    fetch.add_argument("id", metavar="ID[@REVISION]", help="owner/name, such as iic/mgeo_...")
    fetch.add_argument(
        "--to", metavar="DIR", type=Path, help="an empty or new directory [ModelScope's cache]"
    )
    fetch.set_defaults(run=_model_fetch)
    return parser


def _serve(flags: argparse.Namespace) -> int:
    # They would end the process while it starts. `Service.run` says what they mean after that.
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    wanted = settings.load(flags)
    environment.begin_again_under_agent()
    from service.app import Service
    from service.lifecycle import State

    service = Service(wanted)
    last = service.run()
    if last is State.FAILED:
        error = service.lifecycle.error
        if isinstance(error, MGeoError):
            raise error
        print(f"mgeo: error: the service failed: {type(error).__name__}", file=sys.stderr)
        return 1
    return 0


def _complete_score(parser: argparse.ArgumentParser) -> None:
    from service.bulk import command as bulk

    bulk.add_flags(parser)
    parser.set_defaults(run=bulk.run)


def _complete_evaluate(parser: argparse.ArgumentParser) -> None:
    from service.evaluation import command as evaluation

    evaluation.add_flags(parser)
    parser.set_defaults(run=evaluation.run)


def _complete_index(parser: argparse.ArgumentParser) -> None:
    from service.matching import index_command

    index_command.add_commands(parser)


def _complete_match(parser: argparse.ArgumentParser) -> None:
    from service.matching import command as matching

    matching.add_flags(parser)
    parser.set_defaults(run=matching.run)


def _complete_dedupe(parser: argparse.ArgumentParser) -> None:
    from service.matching import command as matching

    matching.add_dedupe_flags(parser)
    parser.set_defaults(run=matching.run_dedupe)


def _ready(flags: argparse.Namespace) -> int:
    from service import ready

    is_ready, message = ready.ask(settings.load(flags))
    if is_ready:
        console.show(message)
        return 0
    print(f"mgeo: not ready: {message}", file=sys.stderr)
    return 1


def _predict(flags: argparse.Namespace) -> int:
    from service.http import schemas
    from service.scoring import model, scorer

    wanted = settings.load(flags)
    limits = schemas.Limits(wanted.max_address_chars)
    addresses = {
        "address1": console.text(flags.address1), "address2": console.text(flags.address2)
    }  # fmt: skip
    pair = schemas.pair(limits).read(addresses, "")
    loaded = model.load(wanted, lambda stage, progress: None)
    score = scorer.score_now(loaded, pair)
    console.show_json({**schemas.prediction(score), "model": schemas.identity(loaded)})
    return 0


def _key(flags: argparse.Namespace) -> int:
    from service.http import keys

    key, line = keys.make(flags.name)
    console.show(line)
    # Apart from the line, which is redirected into the file.
    print(f"The key, which is shown this once: {key}", file=sys.stderr)
    return 0


def _model_info(flags: argparse.Namespace) -> int:
    from service.scoring import inspect

    console.show_json(inspect.describe(settings.load(flags)))
    return 0


def _model_compare(flags: argparse.Namespace) -> int:
    from service.scoring.backends import compare

    wanted = replace(settings.load(flags), backend="auto")
    chosen, rows = compare.measure(wanted, lambda stage: print(stage, file=sys.stderr))
    console.show(compare.report(chosen, rows))
    return 0


def _model_fetch(flags: argparse.Namespace) -> int:
    from service.scoring import checkpoint as checkpoints
    from service.scoring import fetch, source

    reference = source.parse_id(flags.id)
    with _progress_bar(str(reference)) as report:
        fetched = fetch.fetch(reference, report, flags.to)
    checkpoint = checkpoints.read(fetched.directory)
    console.show(str(fetched.directory))
    for name, digest in fetched.sha256.items():
        console.show(f"{digest}  {name}")
    console.show(f"MGEO_MODEL={shlex.quote(str(flags.to.resolve() if flags.to else reference))}")
    print(f"{checkpoint.name} is complete: version {checkpoint.version}", file=sys.stderr)
    print("Its licence is its own: read it on the model's card.", file=sys.stderr)
    return 0


@contextlib.contextmanager
def _progress_bar(name: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, else a line for each tenth. Takes bytes done and bytes in all."""
    if sys.stderr.isatty():
        with contextlib.ExitStack() as drawn:
            bars: list[tqdm[NoReturn]] = []

            def move(done: int, total: int) -> None:
                if not bars:
                    # Not before the hub's client, whose own bars are turned off as it is imported.
                    from tqdm import tqdm

                    bar = tqdm(desc=name, total=total, unit="B", unit_scale=True, disable=False)
                    bars.append(drawn.enter_context(bar))
                bars[0].update(done - bars[0].n)

            yield move
        return
    shown = -1

    def line(done: int, total: int) -> None:
        nonlocal shown
        tenth = 10 * done // max(total, 1)
        if tenth > shown:
            shown = tenth
            print(f"{name}: {done / 1e6:.1f} of {total / 1e6:.1f} MB", file=sys.stderr, flush=True)

    yield line


if __name__ == "__main__":
    sys.exit(main())
