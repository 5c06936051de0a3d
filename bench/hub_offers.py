"""Real rows: how often a size that is called right is wrong, and whether any offer is an altered model.

    PYTHONPATH=. python bench/hub_offers.py     prints the figures and writes bench/results/hub_offers.txt

All files of models beside this checkout are synced into one archive, then asked: the size of every declared
quantisation beside its original's; the offers of `scout` on machines of all sizes (all that it ranks, not the shortlist
alone), with the references that `plan` pulls; the offers on the pages of the most downloaded models. Whether an offer
is altered is judged here by wider words than insource's own, by raw tags, and by the relation that the offer declares.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from insource.cli.session import load_settings
from insource.core.altered_models import altered_word
from insource.hub.archive import Archive
from insource.hub.duck import connect
from insource.hub.page import page_of
from insource.hub.prepared import open_prepared
from insource.hub.sizes_sql import SIZES_SQL
from insource.hub.sources.read import read_file
from insource.wiring_choose import open_scout
from insource.workflows.choose.offer import offers_of
from insource.workflows.choose.scout import ScoutQuestion, scout
from insource.workflows.choose.scout_fit import make_fits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from duckdb import DuckDBPyConnection

_ROOT = Path(__file__).parents[1]
_DATA = _ROOT.parent / "shared" / "data" / "hub"
_OUT = Path(__file__).parent / "results" / "hub_offers.txt"
_FILES = (
    "api_model_records_2025.jsonl.gz",
    "hub_stats_frozen.parquet",
    "radar_2026-08-22_half.jsonl.gz",
    "models_2026-10.json.gz",
)
_MACHINES = ("rtx-4090", "rtx-3060", "m1-8gb", "m4-pro-24gb", "h100", "ryzen 7 5700x")
_POLICY = "permissive,open-model,copyleft,use-restricted,non-commercial,unknown"
_PAGES = 2_000
_FAR = 0.25
_WHOLE = 0.7
"""Of its original's parameters: an adapter has far fewer."""
_WORDS = re.compile(
    r"abliterat|ablat|oblit|heretic|heresy|uncensor|decensor|derestrict|unrestrict|unfilter|unalign|jailb|nsfw"
    r"|no-?refus|amoral|no-?limit|unhinged|biproj|norm-?preserv|\breap\b|prune|role-?play|\brp\b|merge|distill",
    re.IGNORECASE,
)
_SIZES = """
WITH d AS (SELECT id AS child, unnest(base_models) AS base FROM models)
SELECT s.parameters / p.parameters AS ratio, s.agreement, alone.agreement
FROM d JOIN sizes s ON s.id = d.child JOIN sizes p ON lower(p.id) = lower(d.base.id)
JOIN alone ON alone.id = d.child
WHERE d.base.relation = 'quantized' AND s.parameters > 0 AND p.parameters > 0
"""
_ROWS = """
SELECT id, list_transform(tags, lambda tag: lower(tag)),
    list_transform(coalesce(base_models, []), lambda base: [lower(base.id), coalesce(base.relation, '')])
FROM models
"""
_PARAMETERS = "SELECT id, parameters FROM sizes WHERE parameters > 0"
_GGUF = "SELECT id FROM models WHERE contains(lower(id), 'gguf') ORDER BY id"
_MOST = "SELECT id FROM models ORDER BY downloads DESC NULLS LAST, id LIMIT ?"


class Judge:
    """By raw rows alone."""

    def __init__(self, connection: DuckDBPyConnection) -> None:
        rows = connection.execute(_ROWS).fetchall()
        self._sizes: Mapping[str, int] = dict(connection.execute(_PARAMETERS).fetchall())
        self._tags: Mapping[str, list[str]] = {id: tags for id, tags, _ in rows if tags is not None}
        self._bases: Mapping[str, list[list[str]]] = {id: bases for id, _, bases in rows}

    def why_altered(self, original: str, offer: str) -> str:
        """A word, a tag that the original lacks, or a relation to it other than that of a copy; "" where none tells."""
        found = _WORDS.search(offer.rpartition("/")[2])
        if found and not _WORDS.search(original.rpartition("/")[2]):
            return f"named {found[0]}"
        own = self._tags.get(original)
        told = [tag for tag in self._tags.get(offer, ()) if _WORDS.search(tag) and own is not None and tag not in own]
        if told and not _WORDS.search(original):
            return f"tagged {told[0]}"
        kinds = {kind for id, kind in self._bases.get(offer, ()) if id == original.lower()}
        if self._sizes.get(offer, 0) > _WHOLE * self._sizes.get(original, 0):
            kinds -= {"adapter"}  # the Hub labels the copies of a model that is tagged `lora` so
        return f"declared {min(kinds)}" if kinds and not kinds & {"quantized", ""} else ""


@contextmanager
def archive_of(home: Path) -> Generator[Archive]:
    archive = Archive(home / "hub")
    with connect() as connection:
        for name in _FILES:
            read = read_file(connection, _DATA / name, scratch=home)
            assert read.day is not None
            archive.add(connection, source=read.source, day=read.day, whole=False, origin=name)
    yield archive


def sizes(connection: DuckDBPyConnection) -> list[str]:
    connection.execute(f"CREATE TEMP TABLE alone AS {SIZES_SQL}")
    rows = connection.execute(_SIZES).fetchall()
    off = [row for row in rows if abs(row[0] - 1) > _FAR]

    def line(title: str, place: int) -> str:
        agree = sum(row[place] == "agree" for row in rows)
        false = sum(row[place] == "agree" for row in off)
        return f"  {title:42}{agree:6,} agree, of them {false} off by more than {_FAR:.0%}: {false / agree:.1%}"

    return [
        f"Declared quantisations whose original's size is known: {len(rows):,}; {len(off)} are off by more than 25 %.",
        line("as the command says it", 1),
        line("without the original as a witness", 2),
    ]


def scouted(home: Path, judge: Judge) -> list[str]:
    lines = ["", "Offers of scout, all licences admitted: models ranked, repositories offered, altered ones"]
    settings = load_settings().model_copy(update={"home": home})
    with open_scout(settings) as parts:
        for machine in _MACHINES:
            question = ScoutQuestion(machine=machine, licenses=_POLICY, specialised=True)
            report = scout(question, parts, make_fits=make_fits)
            pairs = [
                (item.found.model.id, repo) for item in report.ranked for repo in item.found.group.gguf_repositories
            ]
            pulled = [(offer.id, offer.ref.partition(":")[0]) for offer in offers_of(report, rows=len(report.ranked))]
            lines.append(_line(f"{machine}, scout", len(report.ranked), pairs, judge))
            lines.append(_line("  pulled by plan", len(pulled), pulled, judge))
    return lines


def paged(connection: DuckDBPyConnection, judge: Judge) -> list[str]:
    day = connection.execute("SELECT day FROM state").fetchall()[0][0]
    ids = [str(id) for (id,) in connection.execute(_MOST, [_PAGES]).fetchall()]
    pairs = [(id, offer.id) for id in ids for offer in page_of(connection, id, as_of=day).offers]
    told = [str(id) for (id,) in connection.execute(_GGUF).fetchall() if _WORDS.search(str(id).rpartition("/")[2])]
    missed = [repo for repo in told if not altered_word(repo)]
    return [
        "",
        f"Offers on the pages of the {_PAGES:,} most downloaded models:",
        _line("pages", len({id for id, _ in pairs}), pairs, judge),
        "",
        f"GGUF repositories whose name has one of the wider words: {len(told)}; `models pull` says of"
        f" {len(told) - len(missed)} by name that they are altered, not of {len(missed)}"
        " (merges, role play and distilled ones are models of their own).",
    ]


def _line(title: str, models: int, pairs: Sequence[tuple[str, str]], judge: Judge) -> str:
    altered = [f"{repo} for {id} ({why})" for id, repo in pairs if (why := judge.why_altered(id, repo))]
    return f"  {title:42}{models:6,} {len(pairs):7,} {len(altered):4}" + "".join(f"\n    {one}" for one in altered)


def main() -> None:
    with TemporaryDirectory() as folder, archive_of(Path(folder)) as archive:
        connection, _ = open_prepared(archive, files=True)
        with connection:
            judge = Judge(connection)
            lines = [*sizes(connection), *paged(connection, judge)]
        lines += scouted(Path(folder), judge)
    text = "\n".join(lines) + "\n"
    print(text)
    _OUT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
