"""Laws of the pair generator."""

from __future__ import annotations

import dataclasses
import itertools
import random
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import examples
from training import candidates_named, candidates_roads
from training.families import names
from training.generator import Pair, pairs
from training.minimal import CHANGES, minimal_pair, other_count
from training.numerals import chinese, full_width
from training.place import draw_place
from training.query import write_query
from training.relations import IDS, LABELS, NAMES, TARGETS
from training.scene import draw_scene, other_building, other_number, write_building
from training.world import World, is_held_out, short_area

SEEDS = st.integers(0, 2**32)


def _take(world: World, seed: int, count: int) -> list[Pair]:
    return list(itertools.islice(pairs(world, seed, full=0.5), count))


@settings(max_examples=examples(15))
@given(SEEDS)
def test_the_same_seed_gives_the_same_pairs(world: World, seed: int) -> None:
    assert _take(world, seed, 60) == _take(world, seed, 60)


def test_other_seeds_give_other_pairs(world: World) -> None:
    assert _take(world, 1, 60) != _take(world, 2, 60)


@settings(max_examples=examples(30))
@given(SEEDS)
def test_pairs_are_well_formed(world: World, seed: int) -> None:
    for pair in _take(world, seed, 80):
        assert pair.address1
        assert pair.address2
        assert "\n" not in pair.address1 + pair.address2
        assert 0 <= pair.relation < len(NAMES)


@settings(max_examples=examples(30))
@given(SEEDS)
def test_identical_means_the_same_text(world: World, seed: int) -> None:
    same = [pair for pair in _take(world, seed, 120) if pair.relation == IDS["identical"]]
    assert same
    assert [pair for pair in same if pair.address1 != pair.address2] == []


def test_every_relation_occurs(world: World) -> None:
    missing = set(range(len(NAMES)))
    for pair in itertools.islice(pairs(world, 5, full=0.5), 60_000):
        missing.discard(pair.relation)
        if not missing:
            break
    assert {NAMES[index] for index in missing} == set()


@settings(max_examples=examples(30))
@given(SEEDS)
def test_no_held_out_name_is_drawn(world: World, seed: int) -> None:
    rng = random.Random(seed)
    for draw in (world.road, world.compound, world.village, world.brand):
        assert not any(is_held_out(draw(rng)) for _ in range(50))
    assert not is_held_out(world.lookalike(rng, world.compound(rng)))
    assert not is_held_out(world.lookalike_road(rng, world.road(rng)))


def test_the_names_of_the_minimal_pairs_are_held_out() -> None:
    assert [name for name in names.HELD_OUT if not is_held_out(name)] == []


@settings(max_examples=examples(60))
@given(SEEDS)
def test_a_changed_element_can_be_read(world: World, seed: int) -> None:
    rng = random.Random(seed)
    place = draw_place(rng, world)
    for _ in range(10):
        first, second, relation = minimal_pair(rng, world, place)
        assert (first == second) == (relation == "identical")
        assert relation in IDS


@settings(max_examples=examples(100))
@given(SEEDS)
def test_every_change_changes_its_element_alone_or_what_follows_from_it(
    world: World, seed: int
) -> None:
    rng = random.Random(seed)
    place = draw_place(rng, world)
    follows = {"floor": {"floor", "room"}, "sub_number": {"sub_number", "mark"}}
    for name, (change, field, _) in CHANGES.items():
        if not getattr(place, field):
            continue
        other = change(rng, world, place)
        changed = {f.name for f in dataclasses.fields(place)
                   if getattr(place, f.name) != getattr(other, f.name)}  # fmt: skip
        assert changed <= follows.get(name, {field}), name
        assert changed or name == "town", name


@settings(max_examples=examples(200))
@given(SEEDS, st.integers(1, 4999))
def test_another_count_is_another_count(seed: int, number: int) -> None:
    other = other_count(random.Random(seed), number, 4999)
    assert 1 <= other <= 4999
    assert other != number


def test_every_target_is_a_distribution() -> None:
    for name, chances in TARGETS.items():
        assert len(chances) == len(LABELS), name
        assert sum(chances) == pytest.approx(1.0), name
        assert min(chances) >= 0, name


@settings(max_examples=examples(200))
@given(SEEDS)
def test_another_number_is_another_number(seed: int) -> None:
    rng = random.Random(seed)
    number = rng.randrange(1, 5000)
    other = other_number(rng, number)
    assert other > 0
    assert other != number


@settings(max_examples=examples(200))
@given(SEEDS, st.sampled_from(["1", "9", "12", "60", "A", "B3"]))
def test_another_building_is_another_building(seed: int, building: str) -> None:
    assert other_building(random.Random(seed), building) != building


@settings(max_examples=examples(100))
@given(SEEDS)
def test_a_lookalike_is_never_the_name_itself(world: World, seed: int) -> None:
    rng = random.Random(seed)
    name, road = world.compound(rng), world.road(rng)
    assert world.lookalike(rng, name) != name
    assert world.lookalike_road(rng, road) != road


@settings(max_examples=examples(60))
@given(SEEDS)
def test_an_office_elsewhere_is_in_another_area(world: World, seed: int) -> None:
    rng = random.Random(seed)
    scene = draw_scene(rng, world)
    query = write_query(rng, scene)
    text, relation = candidates_named.village_elsewhere(rng, world, scene, query)
    assert relation == "village.elsewhere"
    assert scene.village in text
    other = world.far_town(rng, scene.town)
    assert (other.province, other.city) != (scene.town.province, scene.town.city) or not other.city


@settings(max_examples=examples(60))
@given(SEEDS)
def test_a_neighbouring_number_keeps_the_road(world: World, seed: int) -> None:
    rng = random.Random(seed)
    scene = draw_scene(rng, world)
    query = write_query(rng, scene)
    text, relation = candidates_roads.number_neighbour(rng, world, scene, query)
    assert scene.road in text
    assert relation in ("number.neighbour", "number.neighbour_named")


@given(st.integers(0, 9999))
def test_chinese_numerals_are_unambiguous(number: int) -> None:
    digits = "零一二三四五六七八九"
    units = {"十": 10, "百": 100, "千": 1000}
    total, digit = 0, 0
    for letter in chinese(number):
        if letter in units:
            total += (digit or 1) * units[letter]
            digit = 0
        else:
            digit = digits.index(letter)
    assert total + digit == number


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "零"), (10, "十"), (12, "十二"), (105, "一百零五"), (1010, "一千零一十")],
)
def test_chinese_numerals(number: int, text: str) -> None:
    assert chinese(number) == text


@pytest.mark.parametrize("number", [-1, 10_000])
def test_chinese_numerals_refuse_what_they_cannot_write(number: int) -> None:
    with pytest.raises(ValueError, match=r"0\.\.9999"):
        chinese(number)


@given(st.text(alphabet=string.ascii_letters + string.digits + "()#-", max_size=20))
def test_full_width_is_undone_by_nfkc(text: str) -> None:
    import unicodedata

    assert unicodedata.normalize("NFKC", full_width(text)) == text


@pytest.mark.parametrize(
    ("name", "short"),
    [("青州市", "青州"), ("东城区", "东城"), ("云县", "云县"), ("新桥镇", "新桥")],
)
def test_short_names_keep_two_characters(name: str, short: str) -> None:
    assert short_area(name) == short


@settings(max_examples=examples(100))
@given(SEEDS)
def test_buildings_keep_their_number(seed: int) -> None:
    rng = random.Random(seed)
    text = write_building(rng, "7")
    assert "7" in text or "七" in text
