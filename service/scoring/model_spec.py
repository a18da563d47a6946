"""The models of one process, as `MGEO_MODELS_FILE` declares them.

    {"models": [
        {"name": "current", "source": "bundled", "weight": 90},
        {"name": "candidate", "source": "/models/candidate", "weight": 10},
        {"name": "idea", "source": "/models/idea", "role": "shadow"}
    ]}

One model, as `MGEO_MODEL` names it, is a list of one.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from service.errors import SettingsError
from service.settings import BUNDLED, Settings

Role = Literal["serve", "shadow"]

SOLE = "model"
"""The name of the one model that `MGEO_MODEL` names."""

MOST_MODELS = 8
"""Each is in memory as a whole, and makes series of its own."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
_KEYS = ("name", "source", "weight", "role")
_LARGEST_WEIGHT = 1e6


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One model of the list.

    Attributes:
        name: What requests and metrics call it: small letters, digits, `.`, `_` and `-`.
        source: As `MGEO_MODEL`.
        weight: Its part of the traffic, beside the others' weights; 0 answers only who asks for it
            by name.
        role: Whether it answers, or is only shown a copy of what others answer.
    """

    name: str
    source: str
    weight: float
    role: Role


def read(settings: Settings) -> tuple[ModelSpec, ...]:
    """The models that the settings declare.

    Raises:
        SettingsError: The file cannot be read, or does not declare what can be served.
    """
    if not settings.models_file:
        return (ModelSpec(SOLE, settings.model, 1.0, "serve"),)
    if settings.model != BUNDLED:
        raise SettingsError(
            "MGEO_MODEL and MGEO_MODELS_FILE both say which model to serve: set only one of them"
        )
    path = Path(settings.models_file)
    try:
        return parse(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise SettingsError(f"MGEO_MODELS_FILE={str(path)!r} cannot be read: {reason}") from None
    except ValueError as error:
        raise SettingsError(f"MGEO_MODELS_FILE={str(path)!r}: {error}") from None


def parse(text: str) -> tuple[ModelSpec, ...]:
    """The models that a document declares.

    Raises:
        ValueError: It is not what it should be; the message says where.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        where = f": {error}" if isinstance(error, json.JSONDecodeError) else ""
        raise ValueError(f"it is not JSON{where}") from None
    if not isinstance(document, dict) or list(document) != ["models"]:
        raise ValueError('an object with the one key "models" is expected')
    listed = document["models"]
    if not isinstance(listed, list) or not 1 <= len(listed) <= MOST_MODELS:
        raise ValueError(f"models must be a list of 1 to {MOST_MODELS} models")
    models = tuple(_model(entry, f"models[{index}]") for index, entry in enumerate(listed))
    names = [model.name for model in models]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two models are named {name!r}")
    if not any(model.weight for model in models):
        raise ValueError("no model answers: give one of them a weight above 0")
    return models


def _model(entry: Any, where: str) -> ModelSpec:
    if not isinstance(entry, dict):
        raise ValueError(f"{where} must be an object with {', '.join(_KEYS)}")
    if unknown := [key for key in entry if key not in _KEYS]:
        raise ValueError(f"{where} has the unknown key {unknown[0]!r}; known: {', '.join(_KEYS)}")
    name, source = entry.get("name"), entry.get("source")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(
            f"{where}.name must be 1 to 40 small letters, digits, '.', '_' or '-', "
            "beginning with a letter or digit"
        )
    if not isinstance(source, str) or not source.strip():
        raise ValueError(f"{where}.source must be text: as MGEO_MODEL")
    role = entry.get("role", "serve")
    if role not in get_args(Role):
        raise ValueError(f"{where}.role must be one of {', '.join(get_args(Role))}")
    if role == "shadow":
        if "weight" in entry:
            raise ValueError(f"{where}: a shadow answers nobody, so it has no weight")
        return ModelSpec(name, source, 0.0, "shadow")
    if "weight" not in entry:
        raise ValueError(
            f"{where}.weight is missing: give a number from 0 to {_LARGEST_WEIGHT:g}, or the role "
            "shadow"
        )
    weight = entry["weight"]
    # A bool is an int in Python, and JSON as Python reads it has NaN.
    if (
        isinstance(weight, bool)
        or not isinstance(weight, int | float)
        or not 0 <= weight <= _LARGEST_WEIGHT
    ):
        raise ValueError(f"{where}.weight must be a number from 0 to {_LARGEST_WEIGHT:g}")
    return ModelSpec(name, source, float(weight), "serve")
