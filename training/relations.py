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
    "compound.same_building": (0.70, 0.28, 0.02),
    "compound.same_building_finer": (0.20, 0.76, 0.04),
    "compound.without_building": (0.03, 0.86, 0.11),
    "compound.gate": (0.02, 0.90, 0.08),
    "compound.other_building": (0.03, 0.88, 0.09),
    "compound.itself": (0.66, 0.31, 0.03),
    "compound.its_gate": (0.08, 0.86, 0.06),
    "compound.its_building": (0.08, 0.84, 0.08),
    "compound.inside": (0.04, 0.80, 0.16),
    "compound.other_part": (0.04, 0.52, 0.44),
    "compound.unplaced_distinct": (0.15, 0.50, 0.35),
    "compound.unplaced_generic": (0.03, 0.17, 0.80),
    "compound.elsewhere": (0.01, 0.02, 0.97),
    "compound.lookalike": (0.01, 0.02, 0.97),
    "compound.lookalike_same_road": (0.01, 0.12, 0.87),
    # house numbers and roads
    "number.itself": (0.58, 0.38, 0.04),
    "number.with_business": (0.18, 0.74, 0.08),
    "number.other_business": (0.05, 0.77, 0.18),
    "number.same_building": (0.70, 0.28, 0.02),
    "number.other_building": (0.03, 0.86, 0.11),
    "number.sub_number": (0.10, 0.78, 0.12),
    "number.neighbour": (0.03, 0.60, 0.37),
    "number.neighbour_named": (0.02, 0.30, 0.68),
    "number.road_only": (0.04, 0.50, 0.46),
    "number.road_only_named": (0.01, 0.27, 0.72),
    "number.other_road": (0.01, 0.02, 0.97),
    "number.road_elsewhere": (0.01, 0.02, 0.97),
    "road.itself": (0.60, 0.32, 0.08),
    "road.part": (0.12, 0.60, 0.28),
    "crossing.itself": (0.64, 0.32, 0.04),
    "crossing.near": (0.10, 0.64, 0.26),
    "crossing.one_road": (0.03, 0.42, 0.55),
    # shops, companies, institutions
    "business.itself": (0.70, 0.27, 0.03),
    "business.unplaced": (0.50, 0.35, 0.15),
    "business.part": (0.05, 0.86, 0.09),
    "business.host": (0.04, 0.72, 0.24),
    "business.beside": (0.04, 0.50, 0.46),
    "business.other_branch": (0.03, 0.14, 0.83),
    "business.elsewhere": (0.01, 0.02, 0.97),
    "business.lookalike": (0.01, 0.02, 0.97),
    "business.same_trade_same_road": (0.01, 0.16, 0.83),
    # villages
    "village.itself": (0.55, 0.30, 0.15),
    "village.without_house": (0.02, 0.62, 0.36),
    "village.same_house": (0.76, 0.22, 0.02),
    "village.other_house": (0.05, 0.84, 0.11),
    "village.inside": (0.05, 0.72, 0.23),
    "village.elsewhere": (0.01, 0.03, 0.96),
    "village.lookalike": (0.01, 0.01, 0.98),
    # both sides written equally fully: what differs (docs/labels.md says why)
    "full.same": (0.97, 0.03, 0.00),
    "full.province": (0.01, 0.02, 0.97),
    "full.city": (0.01, 0.02, 0.97),
    "full.district": (0.01, 0.03, 0.96),
    "full.town": (0.01, 0.07, 0.92),
    "full.street": (0.20, 0.45, 0.35),
    "full.road": (0.01, 0.04, 0.95),
    "full.number": (0.01, 0.09, 0.90),
    "full.number_bare": (0.01, 0.27, 0.72),
    "full.sub_number": (0.03, 0.88, 0.09),
    "full.village": (0.01, 0.03, 0.96),
    "full.group": (0.02, 0.90, 0.08),
    "full.house": (0.02, 0.90, 0.08),
    "full.compound": (0.01, 0.09, 0.90),
    "full.phase": (0.02, 0.88, 0.10),
    "full.building": (0.02, 0.95, 0.03),
    "full.unit": (0.03, 0.95, 0.02),
    "full.floor": (0.03, 0.94, 0.03),
    "full.room": (0.03, 0.95, 0.02),
    "full.shop": (0.02, 0.94, 0.04),
    "full.business": (0.02, 0.86, 0.12),
    "full.branch": (0.01, 0.09, 0.90),
    "full.gate": (0.03, 0.92, 0.05),
    # nothing in common but words
    "area.village": (0.02, 0.48, 0.50),
    "area.only": (0.03, 0.15, 0.82),
    "fragment": (0.00, 0.01, 0.99),
    "stranger": (0.00, 0.00, 1.00),
}

NAMES = tuple(TARGETS)
IDS = {name: index for index, name in enumerate(NAMES)}
