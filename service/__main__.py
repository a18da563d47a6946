"""The command line: `python -m service serve | predict | model`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from service import __version__, settings
from service.errors import MGeoError
from service.settings import BUNDLED
from telemetry.setup import TelemetryError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit status: 0 done, 1 the service failed while running, 2 the command cannot run.
    """
    parsed = _parser().parse_args(arguments)
    try:
        status: int = parsed.run(parsed)
    except (MGeoError, TelemetryError) as error:
        print(f"mgeo: error: {error}", file=sys.stderr)
        return 2
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m service", description="MGeo: are two Chinese addresses the same place?"
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="answer predictions over HTTP")
    settings.add_flags(serve)
    serve.set_defaults(run=_serve)

    predict = commands.add_parser("predict", help="score one pair here, without a server")
    predict.add_argument("address1")
    predict.add_argument("address2")
    settings.add_flags(predict, "model", "device", "cpu_threads", "max_tokens")
    predict.set_defaults(run=_predict)

    model = commands.add_parser("model", help="look at a model, or download one")
    verbs = model.add_subparsers(required=True, metavar="VERB")
    info = verbs.add_parser("info", help="say what a model directory holds, and whether it loads")
    info.add_argument("model", nargs="?", default=BUNDLED, help="as MGEO_MODEL")
    info.set_defaults(run=_model_info)
    return parser


def _serve(flags: argparse.Namespace) -> int:
    wanted = settings.load(flags)
    from service.app import Service
    from service.lifecycle import State

    service = Service(wanted)
    last = service.run()
    if last is State.FAILED:
        error = service.lifecycle.error
        if isinstance(error, MGeoError):
            raise error
        print(f"mgeo: error: the engine failed: {type(error).__name__}", file=sys.stderr)
        return 1
    return 0


def _predict(flags: argparse.Namespace) -> int:
    from service.http import schemas
    from service.scoring import model, scorer

    wanted = settings.load(flags)
    limits = schemas.Limits(wanted.max_address_chars, wanted.max_batch_pairs)
    pair = schemas.parse_pair({"address1": flags.address1, "address2": flags.address2}, limits)
    loaded = model.load(wanted, lambda stage, progress: None)
    score = scorer.score_now(loaded, pair)
    answer = schemas.prediction(score) | {"model": schemas.identity(loaded.checkpoint)}
    print(json.dumps(answer, ensure_ascii=False, indent=2))
    return 0


def _model_info(flags: argparse.Namespace) -> int:
    from service.scoring import inspect

    print(json.dumps(inspect.describe(flags.model), ensure_ascii=False, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
