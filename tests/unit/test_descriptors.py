"""The limit of open files is raised to what the connections need, and no further."""

from __future__ import annotations

import resource

import pytest

from service.descriptors import make_room
from tests.conftest import logged_here


class Limits:
    """The system's, without changing those of the tests."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, soft: int, hard: int) -> None:
        self.soft, self.hard = soft, hard
        monkeypatch.setattr(resource, "getrlimit", lambda _: (self.soft, self.hard))
        monkeypatch.setattr(resource, "setrlimit", self._set)

    def _set(self, _: int, limits: tuple[int, int]) -> None:
        self.soft, hard = limits
        assert hard == self.hard, "lowered, it could not be raised again"


@pytest.mark.parametrize(
    ("soft", "hard", "then"),
    [
        (1024, 4096, 1256),
        (1024, 1_048_576, 1256),
        (1024, resource.RLIM_INFINITY, 1256),
        (4096, 4096, 4096),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, resource.RLIM_INFINITY),
    ],
)
def test_it_is_raised_to_what_is_needed(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    soft: int,
    hard: int,
    then: int,
) -> None:
    limits = Limits(monkeypatch, soft, hard)
    make_room(1000)
    assert limits.soft == then
    assert logged_here(caplog) == []


def test_one_line_says_so_where_it_cannot_be_raised_far_enough(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    limits = Limits(monkeypatch, 512, 1024)
    make_room(1000)
    assert limits.soft == 1024
    [line] = logged_here(caplog)
    assert "MGEO_MAX_CONNECTIONS" in line.message
    assert (vars(line)["limit"], vars(line)["needed"]) == (1024, 1256)


def test_a_system_that_refuses_is_one_line_too(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_: int, limits: tuple[int, int]) -> None:
        raise ValueError("current limit exceeds maximum limit")

    Limits(monkeypatch, 256, resource.RLIM_INFINITY)
    monkeypatch.setattr(resource, "setrlimit", refuse)
    make_room(1000)
    assert len(logged_here(caplog)) == 1
