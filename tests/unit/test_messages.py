"""What errors say: what is wrong, where, and how to mend it, in the user's words."""

from __future__ import annotations

import ast
import errno
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from service import errors
from service.errors import InvalidBody, MGeoError, OperatorError, RequestError
from service.http import shapes, statuses
from service.settings import load
from service.transport import listener as server

SERVICE = Path(errors.__file__).parent


def _kinds(root: type[MGeoError]) -> Iterator[type[MGeoError]]:
    for kind in root.__subclasses__():
        if kind.__module__ == errors.__name__:
            yield kind
            yield from _kinds(kind)


REQUEST = [kind for kind in _kinds(RequestError) if issubclass(kind, RequestError)]
NAMES = {kind.__name__ for kind in _kinds(MGeoError)} - {"MGeoError"}


def _messages() -> Iterator[tuple[str, str]]:
    """Each message that is raised, with `{}` for what is put in, and where."""
    for file in sorted(SERVICE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args):
                continue
            if node.func.id in NAMES and (text := _text(node.args[0])):
                yield f"{file.relative_to(SERVICE)}:{node.lineno}", text


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(
            part.value if isinstance(part, ast.Constant) else "{}"  # type: ignore[misc]
            for part in node.values
        )
    return ""


MESSAGES = dict(_messages())


@pytest.mark.parametrize("kind", REQUEST, ids=lambda kind: kind.__name__)
def test_an_error_has_a_status_a_stable_name_and_a_title(kind: type[RequestError]) -> None:
    assert 400 <= statuses.STATUSES[kind] < 600
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", kind.code)
    assert re.fullmatch(r"[A-Z][^.!]{4,50}", kind.title)
    assert [other for other in REQUEST if other.code == kind.code] == [kind]
    # The tree at the top of the module is what people read first.
    tree = errors.__doc__ or ""
    assert re.search(rf"─ {kind.__name__}\b", tree)


@pytest.mark.parametrize("kind", list(_kinds(OperatorError)), ids=lambda kind: kind.__name__)
def test_an_error_of_an_operator_is_in_the_tree(kind: type[MGeoError]) -> None:
    assert f"─ {kind.__name__} " in (errors.__doc__ or "")


def test_messages_are_found() -> None:
    assert len(MESSAGES) > 80


@pytest.mark.parametrize("where", MESSAGES)
def test_a_message_is_one_plain_line(where: str) -> None:
    text = MESSAGES[where]
    assert "\n" not in text
    assert text == text.strip()
    assert not text.endswith((".", "!", ";", ","))
    assert len(text) < 240
    # A message goes on in a line that begins with `mgeo: error:`, or is a member of a document.
    assert not re.match(r"[A-Z][a-z]+ [a-z]", text) or text.startswith("Python")
    for word in ("please", "is of no use", "oops", "illegal", "bad ", "failed to parse"):
        assert word not in text.lower(), word


@pytest.mark.parametrize(
    ("number", "host", "said"),
    [
        (errno.EACCES, "127.0.0.1", "ports below 1024 need root; choose another with MGEO_PORT"),
        (errno.EADDRINUSE, "127.0.0.1", "another process listens there; end it, or choose another"),
        (errno.EADDRNOTAVAIL, "192.0.2.1", "does not have that address; choose one with MGEO_HOST"),
    ],
)
def test_a_port_that_cannot_be_bound_says_how_to_choose_one(
    number: int, host: str, said: str
) -> None:
    assert said in server._mending(OSError(number, "x"), "predictions")
    operations = server._mending(OSError(number, "x"), "operations")
    assert "MGEO_METRICS_" in operations


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('{"address1": "紫萱路"}'.encode("gbk"), "the body is not UTF-8, as JSON must be: it may"),
        (b'{"address1": "\xff\xff"}', "the body is not UTF-8, as JSON must be; encode it"),
        (b"{", "the body is not JSON: Expecting property name enclosed in double quotes at line 1"),
        (b"", "the body is not JSON: Expecting value at line 1, column 1"),
        (b"{\n'a': 1}", "at line 2, column 1"),
        (b'{"a": NaN}', "it holds NaN"),
        (b"[" * 100_000, "lists within another"),
        (b"1" * 5000, "a number of thousands of digits"),
    ],
    ids=["GBK", "no text", "cut", "empty", "quotes", "NaN", "deep", "digits"],
)
def test_a_body_that_cannot_be_read_says_why(body: bytes, said: str) -> None:
    with pytest.raises(InvalidBody) as caught:
        shapes.decode(body)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "environment",
    [
        {"MGEO_PORT": "0", "MGEO_METRICS_PORT": "0"},
        {"MGEO_PORT": "8000", "MGEO_METRICS_HOST": "127.0.0.2"},
    ],
)
def test_ports_that_do_not_meet_may_be_equal(environment: dict[str, str]) -> None:
    assert load(None, environment)
