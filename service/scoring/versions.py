"""The models of one process: loaded, chosen from for each request, and exchanged.

A table says which versions serve, by which weights, and which are shadows. It is never changed,
only replaced as a whole: a request sees the old one or the new. A version that is in no table any
more takes nothing new, and is unloaded when what it had taken is done; a request that was about to
come to it chooses again. One model by itself: `version.py`.
"""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from service.errors import (
    MGeoError,
    NotReady,
    NotSwitched,
    SettingsError,
    UnknownModel,
)
from service.lifecycle import Lifecycle, LoadingCancelledError, State
from service.scoring import model_spec as declarations
from service.scoring import split
from service.scoring.cache import ResultCache
from service.scoring.events import Events
from service.scoring.model_spec import ModelSpec
from service.scoring.model_version import Version
from service.scoring.shadow import Shadow
from service.scoring.split import ModelSelector
from service.settings import Settings

log = logging.getLogger(__name__)

_UNLOAD_SECONDS = 60.0
"""Beyond the time that a request may wait: for the batch under way when it ran out."""


@dataclass(frozen=True, slots=True)
class RoutingTable:
    """The versions that answer, and the shadows. Immutable.

    Attributes:
        serving: Versions that answer, with their weights.
        shadows: Versions that score copies of requests.
        sole: The only version that gets traffic by weight; None if there are several.
    """

    serving: tuple[tuple[Version, float], ...]
    shadows: tuple[tuple[Version, Shadow], ...]
    sole: Version | None

    @property
    def versions(self) -> list[Version]:
        """All of them, those that answer first."""
        return [version for version, _ in (*self.serving, *self.shadows)]


class Versions:
    """Every model of the process.

    Args:
        settings: Which models, and all else.
        lifecycle: The process's: told when all are ready, and if one that serves fails.
        events: Told of what is computed.
        cache: Results, shared: its keys tell versions apart.

    Raises:
        SettingsError: The models are not declared as they should be.
    """

    def __init__(
        self,
        settings: Settings,
        lifecycle: Lifecycle,
        events: Events,
        cache: ResultCache | None,
    ) -> None:
        self._settings, self._lifecycle, self._events = settings, lifecycle, events
        self._cache = cache
        self._switching = threading.Lock()
        # Held while the lists change, or engines start: none may after `stop`.
        self._lists = threading.Lock()
        self._stopping = False
        self._coming: list[Version] = []
        self._leaving: list[Version] = []
        declared = declarations.read(settings)
        self._first = [self._made(one) for one in declared]
        self._table = self._tabled(self._first, declared)

    @property
    def table(self) -> RoutingTable:
        """The table in use now."""
        return self._table

    def start(self) -> None:
        """Begin to load: one after another, for two at once would only wait for each other."""
        self._first[0].engine.start()

    def stop(self, timeout: float) -> None:
        """Finish what is queued, for at most `timeout` seconds, and load nothing more.

        What loads gives up at its next stage, and is waited for too: a thread that the end of the
        interpreter finds inside a library ends the process by an abort.
        """
        with self._lists:
            self._stopping = True
            table = self._table
            every = {*self._coming, *self._first, *table.versions, *self._leaving}
        for _, shadow in table.shadows:
            shadow.stop()
        for version in every:
            version.lifecycle.to(State.DRAINING)
        threads = [
            threading.Thread(target=version.engine.stop, args=(timeout,), daemon=True)
            for version in every
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout)

    def serving(self, selector: ModelSelector) -> list[tuple[Version, float]]:
        """Those that may answer a request, with their weights.

        Raises:
            UnknownModel: None has that name or version.
        """
        every = self._table.serving
        if not (selector.model or selector.version):
            return list(every)
        found = [
            (version, weight)
            for version, weight in every
            if selector.model in ("", version.protocol_name)
            and selector.version in ("", version.spec.name, version.model_version)
        ]
        if not found:
            for shadow, _ in self._table.shadows:
                if selector.version in (shadow.spec.name, shadow.model_version):
                    raise UnknownModel(
                        f"{shadow.spec.name} is a shadow, which answers nobody; "
                        "give it a weight in MGEO_MODELS_FILE"
                    )
            there = [f"{v.protocol_name} {v.model_version} ({v.spec.name})" for v, _ in every]
            raise UnknownModel(f"no model has this name and version; there is {', '.join(there)}")
        return found

    def choose(self, selector: ModelSelector, pairs: Sequence[tuple[str, str]]) -> Version:
        """Choose the version that answers a request.

        Args:
            selector: What the request asks for: a name, a version or a session.
            pairs: Its pairs, which decide if there is no session.

        Raises:
            UnknownModel: No version has the name or version that it asks for.
        """
        if not (selector.model or selector.version) and (sole := self._table.sole):
            return sole
        among = self.serving(selector)
        if len(among) == 1:
            return among[0][0]
        key = (
            split.key_of_session(selector.session)
            if selector.session
            else split.key_of_pairs(pairs)
        )
        return among[split.pick(key, [(v.spec.name, weight) for v, weight in among])][0]

    def idle(self) -> bool:
        """Whether no version that answers has anything to do."""
        return all(version.engine.idle() for version, _ in self._table.serving)

    def living(self) -> set[str]:
        """The versions of all models in memory, those that finish what they had taken too."""
        every = (*self._first, *self._table.versions, *self._coming, *self._leaving)
        return {version.model_version for version in every}

    def report(self) -> list[dict[str, Any]]:
        """Every version: what it is, what it gets, how far it is."""
        table = self._table
        whole = sum(weight for _, weight in table.serving)
        reports = [version.report(weight / whole) for version, weight in table.serving]
        reports += [version.report(0.0) for version, _ in table.shadows]
        return reports + [version.report(0.0) for version in (*self._coming, *self._leaving)]

    def switch(self) -> None:
        """Make it as the file of models says now; returns once that is so.

        What is new is loaded before it takes traffic; what is gone finishes what it had taken, and
        is unloaded, which may be after this has returned. If anything fails all stays as it was.

        Raises:
            NotReady: The service is starting, or about to end.
            NotSwitched: It cannot be done; the message says why.
        """
        if not self._settings.models_file:
            raise NotSwitched("MGEO_MODELS_FILE is not set, so there are no models to switch")
        if self._lifecycle.state is not State.READY:
            raise NotReady(f"the service is {self._lifecycle.state.value}", retry_after=1)
        if not self._switching.acquire(blocking=False):
            raise NotSwitched("another switch is under way; see GET /models")
        try:
            self._switch()
        except MGeoError as error:
            log.warning("models not switched", extra={"reason": str(error)})
            raise NotSwitched(str(error)) from None
        except LoadingCancelledError:
            raise NotReady("the service is about to end") from None
        finally:
            self._switching.release()

    def _switch(self) -> None:
        declared = declarations.read(self._settings)
        before = self._table
        loaded = {_identity(version.spec): version for version in before.versions}
        wanted: list[Version] = []
        try:
            for one in declared:
                known = loaded.get(_identity(one))
                wanted.append(known if known and known.is_current() else self._loaded(one))
            _check_distinct(wanted)
        except BaseException:
            self._retire(self._coming)
            raise
        after = self._tabled(wanted, declared, before)
        with self._lists:
            self._require_running()
            for version, shadow in after.shadows:
                shadow.compares_with([other.model_version for other, _ in after.serving])
                if version in self._coming:
                    shadow.start()
            self._table = after
            self._coming = []
        for version, shadow in before.shadows:
            if version not in wanted:
                shadow.stop()
        log.info("models switched", extra={"models": _summary(after)})
        self._retire([version for version in before.versions if version not in wanted])

    def _loaded(self, declared: ModelSpec) -> Version:
        version = self._made(declared)
        with self._lists:
            self._require_running()
            self._coming.append(version)
            version.engine.start()
        state = version.lifecycle.wait_while(State.STARTING)
        if state is State.FAILED:
            error = version.lifecycle.error
            if isinstance(error, MGeoError):
                raise SettingsError(f"{declared.name}: {error}")
            raise SettingsError(f"{declared.name}: loading failed: {type(error).__name__}")
        if state is not State.READY:
            raise LoadingCancelledError
        return version

    def _require_running(self) -> None:
        if self._stopping:
            raise LoadingCancelledError

    def _retire(self, versions: Sequence[Version]) -> None:
        """Unload versions that are in no table any more, in the background."""
        leaving = list(versions)
        with self._lists:
            self._coming = [version for version in self._coming if version not in leaving]
            self._leaving = [*self._leaving, *leaving]
        for version in leaving:
            threading.Thread(
                target=self._unload, args=(version,), name="unload", daemon=True
            ).start()

    def _unload(self, version: Version) -> None:
        if not version.retire(self._settings.request_timeout + _UNLOAD_SECONDS):
            log.error("a model cannot be unloaded", extra={"model": version.spec.name})
            return
        with self._lists:
            self._leaving = [other for other in self._leaving if other is not version]
        log.info("model unloaded", extra={"model": version.spec.name})

    def _made(self, declared: ModelSpec) -> Version:
        # One that has no others beside it needs no name.
        alone = not self._settings.models_file
        return Version(
            declared,
            self._settings,
            self._events,
            cache=None if declared.role == "shadow" else self._cache,
            on_progress=self._stage,
            on_state=self._changed,
            thread="engine" if alone else f"engine {declared.name}",
        )

    def _tabled(
        self,
        versions: Sequence[Version],
        declared: Sequence[ModelSpec],
        before: RoutingTable | None = None,
    ) -> RoutingTable:
        running = dict(before.shadows) if before else {}
        serving = tuple(
            (version, one.weight)
            for version, one in zip(versions, declared, strict=True)
            if one.role == "serve"
        )
        shadows = tuple(
            (version, running.get(version) or self._shadow(version))
            for version, one in zip(versions, declared, strict=True)
            if one.role == "shadow"
        )
        weighted = [version for version, weight in serving if weight]
        return RoutingTable(serving, shadows, weighted[0] if len(weighted) == 1 else None)

    def _shadow(self, version: Version) -> Shadow:
        return Shadow(version.engine, version.queue, self.idle, self._events)

    def _stage(self, version: Version, stage: str, done: float) -> None:
        """Tell the process's own state how far its start is."""
        if version not in self._first or self._lifecycle.state is State.READY:
            return
        number = self._first.index(version)
        named = stage if len(self._first) == 1 else f"{version.spec.name}: {stage}"
        self._lifecycle.loading(named, (number + done) / len(self._first))

    def _changed(self, version: Version, state: State) -> None:
        """Take note of a version's state: called on its engine's thread."""
        if state is State.READY and self._lifecycle.state is State.STARTING:
            self._next(version)
        if state is State.FAILED:
            self._failed(version)

    def _next(self, version: Version) -> None:
        following = self._first[self._first.index(version) + 1 :]
        if following:
            with self._lists:
                if not self._stopping:
                    following[0].engine.start()
            return
        loaded = [one for one in self._first if one.lifecycle.state is State.READY]
        try:
            _check_distinct(loaded)
        except SettingsError as error:
            self._lifecycle.to(State.FAILED, error)
            return
        for looking, shadow in self._table.shadows:
            if looking in loaded:
                shadow.compares_with([other.model_version for other, _ in self._table.serving])
                shadow.start()
        # What was built so far lives as long as the process: keep it out of every collection. What
        # is loaded later does not: a version is a cycle, and to be collected once it is unloaded.
        gc.collect()
        gc.freeze()
        self._lifecycle.to(State.READY)

    def _failed(self, version: Version) -> None:
        table = self._table
        if version in (other for other, _ in table.serving):
            self._lifecycle.to(State.FAILED, version.lifecycle.error)
            return
        for other, shadow in table.shadows:
            if other is version:  # of no concern to any client
                error = version.lifecycle.error
                # A message may quote an address, unless it is for whoever operates this.
                reason = str(error) if isinstance(error, MGeoError) else type(error).__name__
                log.error(
                    "a shadow has failed",
                    extra={"model": version.spec.name, "reason": reason},
                )
                shadow.stop()
        if self._lifecycle.state is State.STARTING and version in self._first:
            self._next(version)


def _identity(declared: ModelSpec) -> tuple[str, str, str]:
    return declared.name, declared.source, declared.role


def _check_distinct(versions: Sequence[Version]) -> None:
    seen: dict[str, str] = {}
    for version in versions:
        model_version, name = version.model_version, version.spec.name
        if model_version in seen:
            raise SettingsError(
                f"the models {seen[model_version]!r} and {name!r} are the same version "
                f"{model_version}: nothing would tell their answers apart; declare it once"
            )
        seen[model_version] = name


def _summary(table: RoutingTable) -> list[str]:
    parts = [f"{v.spec.name} {v.model_version} weight {weight:g}" for v, weight in table.serving]
    return parts + [f"{v.spec.name} {v.model_version} shadow" for v, _ in table.shadows]
