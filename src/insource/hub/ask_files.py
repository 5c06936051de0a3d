"""`insource hub files`: asks the Hub for the files of models whose parent nobody declared, a request or two a model.

Every answer is kept as it comes, so it may be stopped at any time; the next run goes on with those that are left.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from insource.core.ecosystem_store import FilesReport, Progress
from insource.core.errors import DownloadFailed
from insource.hub.lineage.files_to_ask import find_files_to_ask, next_to_ask, to_ask_about
from insource.hub.lineage.inferred_values import stored_edges
from insource.hub.lineage.tree import find_id
from insource.hub.prepared import open_prepared
from insource.hub.repo_files import FilesLog, RepoFiles
from insource.hub.sync import HubPlace

_REFUSED_IN_A_ROW = 3
"""One more says that the Hub itself refuses, not these repositories."""


def ask_for_files(place: HubPlace, *, model: str | None, limit: int, progress: Progress) -> FilesReport:
    """Of up to `limit` models of the newest snapshot: the most used without a parent and what they may be copies of, or
    one model and those. Raises UsageError without a snapshot, UnknownModel, DownloadFailed, StorageError."""
    connection, _ = open_prepared(place.archive)
    log = FilesLog(place.archive.folder)
    with connection:
        log.load(connection)
        find_files_to_ask(connection)
        id = None if model is None else find_id(connection, model)
        wanted = next_to_ask(connection, limit=limit) if id is None else to_ask_about(connection, id, limit=limit)
    answers = _ask(place, log, wanted, progress=progress)
    return _report(place, log, answers, model=id)


def _ask(place: HubPlace, log: FilesLog, wanted: Sequence[str], *, progress: Progress) -> Sequence[RepoFiles]:
    from insource.hub.sources.file_lists import Refused, ask_files  # late, with the Hub's client

    answers: list[RepoFiles] = []
    kept = refused = 0
    with log:
        for done, id in enumerate(wanted):
            progress("Asking for files", done, len(wanted))
            now = datetime.now(UTC)
            try:
                answer = ask_files(id, hub_url=place.hub_url, now=now, begun=kept > 0)
                refused = 0
            except DownloadFailed as error:
                refused += 1
                if not isinstance(error, Refused) or refused > min(_REFUSED_IN_A_ROW, len(wanted) - 1):
                    said = f"{error.message} Answers that are kept: {kept:,}."
                    raise DownloadFailed(said, next_step=error.next_step) from error
                answer = RepoFiles(id=id, asked=now, found=False)
            answers.append(answer)
            if answer.renamed_to:
                place.archive.add_renames({id: answer.renamed_to})
            # Who tells of none may be no Hub, or want a token: what is gone is kept once it has told of another.
            tells = answer.found or (kept > 0 and not refused)
            while tells and kept < len(answers):
                log.add(answers[kept])
                kept += 1
    return answers


def _report(place: HubPlace, log: FilesLog, answers: Sequence[RepoFiles], *, model: str | None) -> FilesReport:
    connection, _ = open_prepared(place.archive, files=True)
    with connection:
        log.load(connection)
        known = connection.execute("SELECT count(*) FROM repo_files WHERE found").fetchall()[0][0]
        return FilesReport(
            model=model,
            asked=len(answers),
            gone=tuple(answer.id for answer in answers if not answer.found),
            renamed={answer.id: answer.renamed_to for answer in answers if answer.renamed_to},
            known=int(known),
            left=find_files_to_ask(connection),
            edges=stored_edges(connection, table="file_edges"),
            declared=bool(connection.execute("SELECT 1 FROM edges WHERE child = ? LIMIT 1", [model]).fetchall()),
        )
