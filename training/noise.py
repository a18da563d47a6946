"""Writing errors and habits: homophones, lost characters, full-width forms, rewritten levels."""

from __future__ import annotations

import random

from training.numerals import full_width
from training.world import World, pick

_TWINS = (
    ("(", "（"), (")", "）"), ("号楼", "栋"), ("栋", "幢"), ("幢", "号楼"), ("号楼", "#楼"),
    ("小区", "花园小区"), ("号", "號"), ("-", "—"), ("-", "－"), ("#", "＃"), ("单元", "门"),
)  # fmt: skip


def typo(rng: random.Random, world: World, text: str) -> str:
    """One slip: a homophone, a lost, doubled or swapped character."""
    if len(text) < 4:
        return text
    at = int(rng.random() * (len(text) - 1))
    draw = rng.random()
    if draw < 0.5:
        for _ in range(4):
            others = world.homophones.get(text[at])
            if others:
                return text[:at] + pick(rng, others) + text[at + 1 :]
            at = int(rng.random() * len(text))
        return text
    if text[at].isdigit():
        return text
    if draw < 0.75:
        return text[:at] + text[at + 1 :]
    if draw < 0.85:
        return text[:at] + text[at] + text[at:]
    return text[:at] + text[at + 1] + text[at] + text[at + 2 :]


def user_noise(rng: random.Random, world: World, text: str) -> str:
    """What happens to a query on its way in."""
    draw = rng.random()
    if draw < 0.05:
        text = typo(rng, world, text)
    elif draw < 0.065:
        text = full_width(text)
    elif draw < 0.085:
        old, new = pick(rng, _TWINS)
        text = text.replace(old, new)
    elif draw < 0.10:
        at = int(rng.random() * len(text))
        text = text[:at] + pick(rng, " ,.-，") + text[at:]
    elif draw < 0.115 and len(text) > 8:
        text = text[1:]
    return text


def map_noise(rng: random.Random, world: World, text: str) -> str:
    """What differs in map data: rarely an error, sometimes the other form of a sign."""
    draw = rng.random()
    if draw < 0.02:
        return typo(rng, world, text)
    if draw < 0.023:
        return full_width(text)
    if draw < 0.04:
        return text.replace("(", "（").replace(")", "）")
    return text
