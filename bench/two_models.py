"""Two real models of different quality for one task: the plan must choose the better one, and say why.

    python -m bench.two_models [MESSAGES]      (1,300; ten minutes on two cores; writes bench/results/two_models.txt)

The default model as it is published (4 bits) names the subject of Banking77 messages as JSON, through the gateway; its
answers stand in for hosted ones. The other model is the same one in 2 bits. It is smaller, so it is measured first.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.adapt_data import RESULTS, data_folder, default_model

from insource.adapt.quantize.convert import quantize, widen
from insource.core.values import JsonObject

HOSTED = "gpt-4o-mini"
_PROMPT = 'You read a message of a customer and name its subject. Answer with JSON: {"subject": one to three words}.'
_SCHEMA: JsonObject = {
    "type": "object",
    "properties": {"subject": {"type": "string"}},
    "required": ["subject"],
    "additionalProperties": False,
}
_FORMAT: JsonObject = {
    "type": "json_schema",
    "json_schema": {"name": "subject", "strict": True, "schema": _SCHEMA},
}


def insource(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "insource.cli.main", *arguments]


def environment(home: Path) -> dict[str, str]:
    return {**os.environ, "INSOURCE_HOME": str(home), "COLUMNS": "80"}


def run(home: Path, *arguments: str) -> str:
    done = subprocess.run(insource(*arguments), env=environment(home), check=True, stdout=subprocess.PIPE)
    return done.stdout.decode()


@contextmanager
def gateway(home: Path) -> Generator[str]:
    """Its base URL."""
    command = insource("serve", "--port", "0")
    process = subprocess.Popen(command, env=environment(home), stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        yield next(found[1] for line in process.stderr if (found := re.search(r"Gateway: (http://\S+)", line)))
    finally:
        process.terminate()
        process.communicate()


def ask(url: str, request: JsonObject) -> JsonObject:
    body = json.dumps({**request, "model": "local/default"}).encode()
    asked = urllib.request.Request(f"{url}/chat/completions", body, {"content-type": "application/json"})
    with urllib.request.urlopen(asked) as response:
        return json.load(response)


def messages(folder: Path, count: int) -> list[str]:
    with gzip.open(folder / "banking77" / "test.csv.gz", "rt", encoding="utf-8", newline="") as file:
        texts = sorted({row["text"] for row in csv.DictReader(file)})
    random.Random(0).shuffle(texts)
    return texts[:count]


def request_of(text: str) -> JsonObject:
    said = [{"role": "system", "content": _PROMPT}, {"role": "user", "content": text}]
    return {"model": HOSTED, "temperature": 0, "max_tokens": 160, "response_format": _FORMAT, "messages": said}


def main() -> None:
    folder = data_folder()
    if folder is None:
        sys.exit("skipped: shared data not found (set INSOURCE_DATA)")
    texts = messages(folder, int(sys.argv[1]) if len(sys.argv) > 1 else 1_300)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        log, two_bits, home = work / "log.jsonl", work / "two-bits.gguf", work / "home"
        quantize(widen(default_model(), work / "f16.gguf").path, two_bits, "Q2_K")
        with gateway(work / "hosted") as url, log.open("w", encoding="utf-8") as file:
            for text in texts:
                request = request_of(text)
                file.write(json.dumps({"request": request, "response": {**ask(url, request), "model": HOSTED}}) + "\n")
        run(home, "import", str(log))
        task = json.loads(run(home, "tasks", "--json"))["tasks"][0]["id"]
        run(home, "criterion", task, "--json-values")
        models = ("--model", "", "--model", str(two_bits))
        plan = run(home, "plan", *models)
        found: dict[str, Any] = json.loads(run(home, "evaluate", task, *models, "--json"))
        lines = [f"{len(texts):,} messages", plan, "Measured, in this order:"]
        for each in found["candidates"]:
            on = f" on {Path(each['model']).name}" if each["model"] else ""
            lines.append(f"  {each['recipe']}{on}: {each['end']}. {each['reason']}")
    text = "\n".join(lines).replace(name, "") + "\n"
    (RESULTS / "two_models.txt").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
