"""Builds everything once, in order, and hands it down. The only place that knows all parts."""

from __future__ import annotations

import gc
import logging
import platform
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Generic, TypeVar

from service import __version__, console, descriptors, memory
from service.errors import RegisterError, RequestError, SettingsError
from service.http import operations, predict
from service.http.admission_hook import PredictionsHook
from service.http.keys import Keys
from service.lifecycle import Lifecycle, State
from service.recorder import Recorder
from service.scoring.cache import ResultCache
from service.scoring.engine import Engine
from service.scoring.queue import PairQueue
from service.scoring.scorer import Scorer
from service.scoring.versions import Versions
from service.settings import BUNDLED, Settings, service_links
from service.transport.listener import Listener
from service.transport.server import ServerLimits
from service.watchdog import Watchdog
from telemetry import instruments as metrics
from telemetry import logs, setup

if TYPE_CHECKING:
    from service.retrieval.served import ServedRegister

log = logging.getLogger(__name__)

_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
"""SIGQUIT too: by itself it ends the process with a core dump, and that holds addresses."""

_TELEMETRY_FLUSH_SECONDS = 5.0
_LAST_ANSWERS_SECONDS = 2.0
_LOADING_ENDS_SECONDS = 5.0

_COLLECTION_SECONDS = 0.01
"""Longer than reading all gauges takes, and shorter than the time between two scrapes."""

T = TypeVar("T")

_OPERATIONS_LIMITS = ServerLimits(
    threads=4, waiting=100, connections=100, body_bytes=1024, receive_seconds=10
)


class Service:
    """One serving process, from its settings.

    Raises:
        OperatorError: A port cannot be bound, or the API keys cannot be read.
        TelemetryError: An `OTEL_*` variable cannot be honoured.
    """

    def __init__(self, settings: Settings) -> None:
        logs.configure(settings.log_level, plain=console.is_plain(settings.log_format))
        self._settings = settings
        if links := service_links():
            log.info(
                "variables of Kubernetes' services are no settings; `enableServiceLinks: false` "
                "in the pod keeps them out",
                extra={"variables": links},
            )
        descriptors.make_room(settings.max_connections + _OPERATIONS_LIMITS.connections)
        self.lifecycle = Lifecycle()
        self.telemetry = setup.start(
            service_version=__version__,
            instance_id=f"{platform.node()}:{settings.port}",
        )
        cache = ResultCache(settings.cache_pairs) if settings.cache_pairs else None
        recorder = Recorder(self.telemetry)
        self.versions = Versions(settings, self.lifecycle, recorder, cache)
        self.telemetry.series.versions = self.versions.living
        scorer = Scorer(
            self.versions,
            self.lifecycle,
            recorder,
            cache=cache,
            timeout=settings.request_timeout,
        )
        self._watchdog = Watchdog(self._progress_age, settings.stuck_after)
        keys = None
        if settings.api_keys_file:
            keys = Keys(Path(settings.api_keys_file), settings.api_keys_grace)
        register = _register(settings.register) if settings.register else None
        app = predict.create_app(
            settings, scorer, self.telemetry, self._watchdog.stuck, keys, register
        )
        self.operations = Listener(
            operations.create_app(
                self.lifecycle,
                self.telemetry.prometheus,
                self._watchdog.stuck,
                self.versions,
                keys.warning if keys else lambda: None,
                f"Predictions are answered on {_port(settings.port)} (MGEO_PORT)",
            ),
            name="operations",
            host=settings.metrics_host,
            port=settings.metrics_port,
            limits=_OPERATIONS_LIMITS,
            failed=self._fail,
        )
        self.predictions = Listener(
            app,
            name="predictions",
            host=settings.host,
            port=settings.port,
            limits=ServerLimits(
                threads=settings.http_threads,
                waiting=settings.max_waiting_requests,
                connections=settings.max_connections,
                body_bytes=settings.max_body_bytes,
                receive_seconds=settings.receive_timeout,
            ),
            hook=PredictionsHook(self.telemetry.instruments, app, scorer),
            failed=self._fail,
        )
        self._observe(cache)
        if register is not None:
            self._observe_register(register)
        if keys is not None:
            self.telemetry.instruments.observe_value(metrics.API_KEYS, keys.admitted)
            self.telemetry.instruments.observe_value(
                metrics.API_KEYS_UNREADABLE_AGE, keys.unreadable_seconds
            )

    def start(self) -> None:
        """Listen, and begin to load the model."""
        self.operations.start()
        self.predictions.start()
        self.versions.start()
        self._watchdog.start()

    def run(self) -> State:
        """Serve until a signal of `_ENDING`, or until a part fails; returns the last state.

        A first signal drains; a second one ends the process at once. SIGHUP reads the file of
        models again.
        """
        for number in _ENDING:
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGHUP, self._on_hangup)
        self.start()
        is_welcomed = not console.is_plain(self._settings.log_format)
        # A bounded wait, because the signal handler runs in this thread: a signal between the look
        # at the state and the wait would wake nobody.
        going = (State.STARTING, State.READY)
        while (state := self.lifecycle.wait_while(*going, timeout=0.5)) in going:
            if state is State.READY and not is_welcomed:
                where = (self.predictions.address, self.operations.address)
                console.welcome(*where, self._who_answers())
                is_welcomed = True
        self.stop()
        return self.lifecycle.state

    def stop(self) -> None:
        """Say unready, answer what has arrived, flush telemetry, and close; all of it bounded."""
        self.lifecycle.to(State.DRAINING)
        if self.lifecycle.state is State.DRAINING:
            self._drain()
            self.lifecycle.to(State.STOPPED)
        else:  # failed: those who waited for the engine are told so
            self.predictions.drain(_LAST_ANSWERS_SECONDS)
        self._watchdog.stop()
        self.predictions.close()
        if not self.telemetry.shutdown(_TELEMETRY_FLUSH_SECONDS):
            log.warning("telemetry was not flushed in time; its last seconds are lost")
        self.operations.close()
        # Frozen objects would survive the interpreter's end, which torch's libraries report.
        gc.unfreeze()

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        if not self.lifecycle.to(State.DRAINING):
            raise SystemExit(128 + number)

    def _on_hangup(self, number: int, _: FrameType | None) -> None:
        # It takes as long as loading does, and the handler holds up the main thread.
        threading.Thread(target=self._read_again, name="read-again", daemon=True).start()

    def _read_again(self) -> None:
        if not self._settings.models_file:
            # A terminal that closes sends it as well: the process goes on serving.
            log.info("SIGHUP: no models to switch; API keys are read again whenever they change")
            return
        try:
            self.versions.switch()
        except RequestError as error:
            log.warning("SIGHUP: the models stay as they were", extra={"reason": str(error)})

    def _fail(self, error: BaseException) -> None:
        self.lifecycle.to(State.FAILED, error)

    def _drain(self) -> None:
        if any(engine.model is None for engine in self._engines()):
            self.versions.stop(_LOADING_ENDS_SECONDS)
            return  # nothing can be under way before every model is loaded
        time.sleep(self._settings.shutdown_delay)
        deadline = time.monotonic() + self._settings.shutdown_grace
        if left := self.predictions.drain(self._settings.shutdown_grace):
            log.warning("requests cut off by the end of the grace", extra={"requests": left})
        self.versions.stop(max(0.0, deadline - time.monotonic()))

    def _who_answers(self) -> str:
        if self._settings.model == BUNDLED and not self._settings.models_file:
            return (
                "A small demonstration model answers. "
                "MGEO_MODEL chooses another, such as the published MGeo."
            )
        models = [engine.model for engine in self._engines()]
        return f"Answers: {', '.join(model.checkpoint.name for model in models if model)}"

    def _engines(self) -> list[Engine]:
        return [version.engine for version, _ in self.versions.table.serving]

    def _queues(self) -> list[PairQueue]:
        return [version.queue for version, _ in self.versions.table.serving]

    def _progress_age(self) -> float:
        # Not of shadows: they compute only while nothing else does, which may be never.
        return max(engine.progress_age() for engine in self._engines())

    def _observe(self, cache: ResultCache | None) -> None:
        observe = self.telemetry.instruments.observe_value
        if cache is not None:
            observe(metrics.CACHE_SIZE, lambda: len(cache))
        wanted = _OncePerCollection(lambda: [queue.wanted() for queue in self._queues()]).read
        observe(metrics.QUEUE_DEPTH, lambda: sum(queue.pairs for queue in wanted()))
        observe(metrics.QUEUE_LIMIT, lambda: sum(q.max_pairs for q in self._queues()))
        observe(metrics.QUEUE_TOKENS, lambda: sum(queue.tokens for queue in wanted()))
        observe(metrics.QUEUE_TOKEN_LIMIT, lambda: sum(q.max_tokens for q in self._queues()))
        observe(metrics.QUEUE_OLDEST_AGE, lambda: max(queue.oldest_age for queue in wanted()))
        observe(metrics.ENGINE_PROGRESS_AGE, self._progress_age)
        observe(metrics.BATCH_TOKEN_LIMIT, lambda: min(e.token_limit() for e in self._engines()))
        observe(metrics.REQUESTS_WAITING, self.predictions.waiting)
        observe(metrics.CONNECTIONS, self.predictions.connections)
        observe(metrics.CONNECTION_LIMIT, lambda: self.predictions.limits.connections)
        observe(metrics.READY, lambda: int(self.lifecycle.state is State.READY))
        started, limit = time.time(), memory.limit()
        observe(metrics.START_TIME, lambda: started)
        observe(metrics.MEMORY_LIMIT, lambda: limit)
        self.telemetry.instruments.observe(metrics.MODEL_LOAD_DURATION, self._model_load)
        self.telemetry.instruments.observe(metrics.MODEL_SHARE, self._model_share)
        self.telemetry.instruments.observe(metrics.MODEL_CALIBRATION, self._calibration)

    def _observe_register(self, register: ServedRegister) -> None:
        def entries() -> list[metrics.Series]:
            current = register.current()
            return [(len(current), {"register_version": current.version})]

        self.telemetry.instruments.observe(metrics.REGISTER_ENTRIES, entries)
        self.telemetry.instruments.observe_value(
            metrics.REGISTER_UNREADABLE_AGE, register.unreadable_seconds
        )

    def _model_load(self) -> list[metrics.Series]:
        return [
            (
                version.engine.load_seconds,
                {
                    "model": loaded.checkpoint.name,
                    "model_version": loaded.checkpoint.version,
                    "backend": loaded.backend.name,
                    "device": loaded.backend.device,
                },
            )
            for version in self.versions.table.versions
            if (loaded := version.model) is not None
        ]

    def _calibration(self) -> list[metrics.Series]:
        return [
            (share, {"upper": upper, "model_version": loaded.checkpoint.version})
            for version in self.versions.table.versions
            if (loaded := version.model) is not None
            for upper, share in version.calibration.items()
        ]

    def _model_share(self) -> list[metrics.Series]:
        return [
            (
                report["share"],
                {
                    "variant": report["name"],
                    "model_version": report["version"],
                    "role": report["role"],
                },
            )
            for report in self.versions.report()
            if report["status"] == State.READY.value
        ]


class _OncePerCollection(Generic[T]):
    """One reading for several gauges, which the SDK asks for one by one."""

    def __init__(self, read: Callable[[], T]) -> None:
        self._read = read
        self._last: tuple[float, T] | None = None

    def read(self) -> T:
        """The reading of this collection."""
        now, last = time.monotonic(), self._last
        if last is None or now - last[0] > _COLLECTION_SECONDS:
            last = self._last = (now, self._read())
        return last[1]


def _register(directory: str) -> ServedRegister:
    try:
        # Its index needs libraries that take a second to import: not where there is none.
        from service.retrieval.served import ServedRegister

        return ServedRegister(Path(directory))
    except RegisterError as error:
        raise SettingsError(f"MGEO_REGISTER: {error}") from None


def _port(port: int) -> str:
    return f"port {port}" if port else "the port that the log names"
