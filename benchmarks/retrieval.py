"""Libraries that could find an address's candidates in a register, against each other.

`python -m benchmarks.retrieval --gazetteer DIR --pairs FILE --entries 20000 1000000` takes real
queries and, as the register, every candidate of theirs with generated addresses beside them. It
prints how many of a query's matches are among the first 10 and 20, and what that costs. Each
library has a process of its own, and the same terms (`service/retrieval/terms.py`).
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

from training import gazetteer
from training.evaluation import half_of
from training.generator import pairs
from training.world import World

_MOST = 50
_AT = (10, 20, 50)
_SEED = 7

Found = Sequence[Sequence[int]]
"""For each query the places of entries, the likeliest first."""

Search = Callable[[Sequence[str]], Found]


def main() -> None:
    """Compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gazetteer", type=Path, required=True, help="folder of gazetteer files")
    parser.add_argument("--pairs", type=Path, required=True, help="labelled pairs, JSON lines")
    parser.add_argument("--half", choices=("A", "B", "all"), default="all", help="of the queries")
    parser.add_argument("--entries", type=int, nargs="+", default=[20_000])
    parser.add_argument("--libraries", nargs="+", choices=LIBRARIES, default=list(LIBRARIES))
    parser.add_argument("--distractors", type=Path, help="file to keep the generated ones in")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.one:
        _measure(flags.one[0], Path(flags.one[1]))
        return
    queries, candidates = real_queries(flags.pairs, flags.half)
    distractors = generated(flags.gazetteer, max(flags.entries), flags.distractors)
    print("| entries | library | exact at 10, 20, 50 | partial | build | a query | memory |")
    print("|--:|---|---|---|--:|--:|--:|")
    for size in flags.entries:
        known = dict.fromkeys(candidates)
        known |= dict.fromkeys(islice(distractors, max(0, size - len(known))))
        with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
            json.dump({"register": list(known), "queries": queries}, file, ensure_ascii=False)
            file.flush()
            for library in flags.libraries:
                _in_a_process(library, file.name, flags)


def _in_a_process(library: str, data: str, flags: argparse.Namespace) -> None:
    command = [sys.executable, "-m", "benchmarks.retrieval", "--one", library, data]
    command += ["--gazetteer", str(flags.gazetteer), "--pairs", str(flags.pairs)]
    subprocess.run(command, check=True)  # noqa: S603


def real_queries(path: Path, half: str) -> tuple[list[tuple[str, list[str], list[str]]], list[str]]:
    """Queries with their exact and partial matches, and all candidates."""
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    queries: dict[tuple[str, str], dict[str, list[str]]] = {}
    for row in rows:
        found = queries.setdefault((row["query_id"], row["address1"]), {})
        found.setdefault(row["label"], []).append(row["address2"])
    asked = [
        (address, matches.get("exact_match", []), matches.get("partial_match", []))
        for (query, address), matches in queries.items()
        if half in ("all", half_of(query))
    ]
    return asked, [row["address2"] for row in rows]


def generated(folder: Path, count: int, kept: Path | None) -> list[str]:
    """Generated addresses in the style of a map's entries, each once."""
    found: dict[str, None] = {}
    if kept and kept.exists():
        found = dict.fromkeys(kept.read_text("utf-8").splitlines())
        if len(found) >= count:
            return list(found)
    for pair in pairs(World(gazetteer.read(folder)), _SEED, full=0.2):
        found.setdefault(pair.address2)
        if len(found) >= count:
            break
    if kept:
        kept.write_text("\n".join(found), "utf-8")
    return list(found)


def _measure(library: str, path: Path) -> None:
    data = json.loads(path.read_text("utf-8"))
    register, queries = data["register"], data["queries"]
    before, begun = _peak_mb(), time.perf_counter()
    search = LIBRARIES[library](register)
    built = time.perf_counter() - begun
    memory = _peak_mb() - before
    search([queries[0][0]])
    begun = time.perf_counter()
    found = search([query for query, *_ in queries])
    asked = (time.perf_counter() - begun) / len(queries)
    places = {address: place for place, address in enumerate(register)}
    shares = [
        ", ".join(
            f"{_recall(found, [query[kind] for query in queries], places, k):.3f}" for k in _AT
        )
        for kind in (1, 2)
    ]
    told = f"{built:.0f} s | {1e3 * asked:.1f} ms | {memory:,.0f} MB"
    print(f"| {len(register):,} | {library} | {shares[0]} | {shares[1]} | {told} |", flush=True)


def _recall(found: Found, wanted: list[list[str]], places: dict[str, int], most: int) -> float:
    """Share of all matches that are among the first `most` of their query."""
    hits = total = 0
    for row, matches in zip(found, wanted, strict=True):
        first = set(map(int, row[:most]))
        hits += sum(places[match] in first for match in matches)
        total += len(matches)
    return hits / max(total, 1)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _own(register: list[str]) -> Search:
    from service.retrieval import index

    built = index.build(register)
    return lambda queries: [row.tolist() for row in built.candidates(queries, _MOST)]


def _bm25s(register: list[str]) -> Search:
    import bm25s

    from service.retrieval.terms import terms

    known: dict[str, int] = {}
    ids = [[known.setdefault(term, len(known)) for term in terms(entry)] for entry in register]
    built = bm25s.BM25()
    built.index((ids, known), show_progress=False)

    def search(queries: Sequence[str]) -> Found:
        asked = [[known[t] for t in dict.fromkeys(terms(query)) if t in known] for query in queries]
        found: list[list[int]] = built.retrieve(asked, k=_MOST, show_progress=False)[0].tolist()
        return found

    return search


def _tantivy(register: list[str]) -> Search:
    import tantivy

    from service.retrieval.terms import terms

    schema = tantivy.SchemaBuilder()
    schema.add_text_field("terms", tokenizer_name="whitespace", index_option="freq")
    schema.add_integer_field("place", fast=True)
    index = tantivy.Index(schema.build())
    writer = index.writer(heap_size=200_000_000, num_threads=1)
    for place, entry in enumerate(register):
        writer.add_document(tantivy.Document(terms=" ".join(terms(entry)), place=place))
    writer.commit()
    writer.wait_merging_threads()
    index.reload()
    searcher = index.searcher()

    def search(queries: Sequence[str]) -> Found:
        found = []
        for query in queries:
            wanted = [
                (
                    tantivy.Occur.Should,
                    tantivy.Query.term_query(index.schema, "terms", term, index_option="freq"),
                )
                for term in dict.fromkeys(terms(query))
            ]
            hits = searcher.search(tantivy.Query.boolean_query(wanted), _MOST, count=False).hits
            places = searcher.fast_field_values("place", [address for _, address in hits])
            found.append([int(place or 0) for place in places])
        return found

    return search


LIBRARIES: dict[str, Callable[[list[str]], Search]] = {
    "sparse_dot_topn": _own,
    "bm25s": _bm25s,
    "tantivy": _tantivy,
}

if __name__ == "__main__":
    main()
