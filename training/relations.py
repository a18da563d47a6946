"""How the two addresses of a generated pair are related, and what a rater would say of it.

A relation is what the generator knows. People who label such pairs do not agree on many of them
("the same road, another number" is called partial about as often as not), so a relation stands
for a distribution over the three labels rather than for one label. The network is trained on
the distribution itself: the expectation of drawing a label, without the noise of the draw.
"""

from __future__ import annotations

LABELS = ("exact_match", "partial_match", "not_match")

# name -> P(exact), P(partial), P(not)
TARGETS: dict[str, tuple[float, float, float]] = {
    # the same text, or the same words with levels dropped or rewritten
    "identical": (1.0, 0.0, 0.0),
    "rewritten": (0.93, 0.06, 0.01),
    # residential compounds and buildings
    "compound.same_building": (0.60, 0.37, 0.03),
    "compound.same_building_finer": (0.25, 0.70, 0.05),
    "compound.without_building": (0.14, 0.80, 0.06),
    "compound.gate": (0.10, 0.84, 0.06),
    "compound.other_building": (0.04, 0.85, 0.11),
    "compound.itself": (0.62, 0.32, 0.06),
    "compound.its_gate": (0.20, 0.74, 0.06),
    "compound.its_building": (0.14, 0.77, 0.09),
    "compound.inside": (0.06, 0.76, 0.18),
    "compound.other_part": (0.05, 0.55, 0.40),
    "compound.unplaced_distinct": (0.22, 0.52, 0.26),
    "compound.unplaced_generic": (0.04, 0.20, 0.76),
    "compound.elsewhere": (0.01, 0.04, 0.95),
    "compound.lookalike": (0.01, 0.04, 0.95),
    "compound.lookalike_same_road": (0.01, 0.12, 0.87),
    # house numbers and roads
    "number.itself": (0.58, 0.37, 0.05),
    "number.with_business": (0.26, 0.64, 0.10),
    "number.other_business": (0.09, 0.69, 0.22),
    "number.same_building": (0.60, 0.36, 0.04),
    "number.other_building": (0.05, 0.82, 0.13),
    "number.sub_number": (0.12, 0.74, 0.14),
    "number.neighbour": (0.04, 0.57, 0.39),
    "number.neighbour_named": (0.02, 0.30, 0.68),
    "number.road_only": (0.05, 0.50, 0.45),
    "number.road_only_named": (0.02, 0.28, 0.70),
    "number.other_road": (0.01, 0.03, 0.96),
    "number.road_elsewhere": (0.01, 0.03, 0.96),
    "road.itself": (0.55, 0.33, 0.12),
    "road.part": (0.12, 0.60, 0.28),
    "crossing.itself": (0.58, 0.36, 0.06),
    "crossing.near": (0.10, 0.64, 0.26),
    "crossing.one_road": (0.03, 0.42, 0.55),
    # shops, companies, institutions
    "business.itself": (0.66, 0.30, 0.04),
    "business.unplaced": (0.44, 0.36, 0.20),
    "business.part": (0.09, 0.80, 0.11),
    "business.host": (0.08, 0.68, 0.24),
    "business.beside": (0.04, 0.50, 0.46),
    "business.other_branch": (0.03, 0.14, 0.83),
    "business.elsewhere": (0.01, 0.03, 0.96),
    "business.lookalike": (0.01, 0.04, 0.95),
    "business.same_trade_same_road": (0.01, 0.16, 0.83),
    # villages
    "village.itself": (0.58, 0.29, 0.13),
    "village.without_house": (0.15, 0.58, 0.27),
    "village.same_house": (0.68, 0.28, 0.04),
    "village.other_house": (0.05, 0.84, 0.11),
    "village.inside": (0.07, 0.70, 0.23),
    "village.elsewhere": (0.01, 0.04, 0.95),
    "village.lookalike": (0.01, 0.03, 0.96),
    # nothing in common but words
    "area.only": (0.02, 0.20, 0.78),
    "fragment": (0.00, 0.03, 0.97),
    "stranger": (0.00, 0.01, 0.99),
}

NAMES = tuple(TARGETS)
IDS = {name: index for index, name in enumerate(NAMES)}
