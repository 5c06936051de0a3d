"""What an import costs: processor time and memory of `insource import` on a log of 200 MB, from a file and from a pipe.

The log is the recorded traffic (recorded_log.py) again and again: in each round the ids and the last message of every
request differ, so that no text comes twice. Times are those of the processor, of the import and its scanner together.

    python -m bench.import_log [MEGABYTES]
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import psutil
from bench.recorded_log import build

from insource.core.values import JsonObject

DATA = Path(os.environ.get("INSOURCE_DATA") or Path(__file__).parents[2] / "shared" / "data")
OUT = Path(__file__).parent / "results" / "import_log.txt"
IMPORT = (sys.executable, "-m", "insource.cli.main", "import")
BYTES_PER_MB = 1_000_000


def rounds(lines: list[JsonObject]) -> Iterator[JsonObject]:
    number = 0
    while True:
        for line in lines:
            *before, last = line["request"]["messages"]
            said = {**last, "content": f"{last['content']} ({number})"} if isinstance(last["content"], str) else last
            request = {**line["request"], "messages": [*before, said]}
            yield {**line, "id": f"{line['id']}-{number}", "request": request}
        number += 1


def write(path: Path, size_bytes: int) -> int:
    """Returns the lines written."""
    with path.open("w", encoding="utf-8") as file:
        for count, line in enumerate(rounds(build(DATA)), start=1):
            file.write(json.dumps(line) + "\n")
            if file.tell() >= size_bytes:
                return count
    raise AssertionError


def peak_bytes(process: psutil.Process, stop: threading.Event) -> Iterator[int]:
    """Memory of a process and its children, looked at five times a second."""
    while not stop.wait(0.2):
        try:
            yield sum(one.memory_info().rss for one in (process, *process.children(recursive=True)))
        except psutil.NoSuchProcess:
            return


def measured(home: Path, source: str, stdin: IO[bytes] | None) -> str:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(
        [*IMPORT, source],
        stdin=stdin,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "INSOURCE_HOME": str(home)},
    )
    stop, peaks = threading.Event(), [0]
    watch = threading.Thread(target=lambda: peaks.extend(peak_bytes(psutil.Process(process.pid), stop)))
    watch.start()
    code = process.wait()
    stop.set()
    watch.join()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return f"{seconds:6.1f} processor-seconds, {max(peaks) / BYTES_PER_MB:4.0f} MB with its scanner, exit {code}"


def rows(home: Path) -> tuple[int, str]:
    """How many, and a hash of all of them."""
    digest, count = hashlib.sha256(), 0
    with sqlite3.connect(home / "insource.db") as database:
        for row in database.execute("SELECT * FROM exchanges ORDER BY id"):
            digest.update(repr(row).encode())
            count += 1
    return count, digest.hexdigest()


def main() -> None:
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    folder = Path(tempfile.mkdtemp())
    try:
        log = folder / "log.jsonl"
        lines = write(log, megabytes * BYTES_PER_MB)
        shown = [f"{log.stat().st_size / BYTES_PER_MB:.0f} MB, {lines:,} lines", ""]
        shown.append(f"file  {measured(folder / 'file', str(log), None)}")
        with log.open("rb") as file:
            cat = subprocess.Popen(["cat"], stdin=file, stdout=subprocess.PIPE)
            assert cat.stdout is not None
            with cat.stdout as pipe:
                shown.append(f"pipe  {measured(folder / 'pipe', '-', pipe)}")
            cat.wait()
        of_file, of_pipe = rows(folder / "file"), rows(folder / "pipe")
        shown += ["", f"{of_file[0]:,} rows; those of the pipe are the same: {'yes' if of_file == of_pipe else 'NO'}"]
    finally:
        shutil.rmtree(folder)
    text = "\n".join(shown) + "\n"
    sys.stdout.write(text)
    if megabytes == 200:
        OUT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
