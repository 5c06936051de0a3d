"""Prompts that vary in the ways that logs show: the jobs come apart, and the gateway recognises new requests of
each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random

import pytest

from insource.core.values import JsonObject
from insource.traffic.discovery import DiscoveryInput, discover
from insource.traffic.matcher import compile_matchers, routable

JOBS = {
    "sort": "Sort the message of a customer into one of: card, loan, fraud.",
    "headline": "Write a headline for the article, in at most eight words.",
    "people": "List the names of all people in the text as a JSON array.",
}
STRANGER = "Tell how many lines the poem has, and nothing else."
ABROAD = {
    "sort": "Ordne die Nachricht einer Kundin einem Anliegen zu und nenne nur das Anliegen.",
    "headline": "Donne un titre à cet article, en huit mots au plus.",
    "people": "请列出文本中所有人物的名字,只回答名字。",
}
SHORT = {"sort": "Topic: {}", "headline": "{}\nTitle:", "people": "names> {}"}
TOOLS = {
    "sort": ["block_card", "find_branch", "open_case", "rate_today"],
    "headline": ["find_photo", "count_words", "spell_check", "publish"],
    "people": ["find_person", "merge_people", "show_tree", "add_person"],
}
RULES = "You work for a newspaper and its bank. Never promise anything. Be polite. Do not speak of other papers."
NAMES = [
    "Ada",
    "Bela",
    "Cleo",
    "Dora",
    "Emil",
    "Finn",
    "Gita",
    "Hans",
    "Ivo",
    "Jana",
    "Kurt",
    "Lea",
    "Mats",
    "Nina",
    "Otto",
    "Pia",
    "Rolf",
    "Sina",
    "Tom",
    "Uwe",
    "Vera",
    "Yann",
]
WORDS = [
    f"{start}{end}"
    for start in ["bal", "dor", "fen", "gim", "lus", "mer", "nop", "ras", "tiv", "zul"]
    for end in ["a", "el", "ing", "or", "um"]
]
Write = Callable[[str, str, str, Random], JsonObject]
"""(job, its instruction, message, random) -> request."""


def prose(rng: Random, words: int) -> str:
    return " ".join(rng.choices(WORDS, k=words))


def moment(rng: Random) -> str:
    return f"{rng.choice(NAMES)}, 2026-{rng.randint(1, 12):02}-{rng.randint(1, 28):02} {rng.randint(0, 23):02}:15"


def chat(system: str | None, *turns: str, tools: list[str] | None = None) -> JsonObject:
    messages = [{"role": "system", "content": system}] if system is not None else []
    body: JsonObject = {"messages": messages + [{"role": "user", "content": turn} for turn in turns]}
    return body if tools is None else {**body, "tools": [{"function": {"name": name}} for name in tools]}


def name_first(_job: str, told: str, text: str, rng: Random) -> JsonObject:
    return chat(f"Today's user: {moment(rng)}.\n\n{told}", text)


def documents_first(_job: str, told: str, text: str, rng: Random) -> JsonObject:
    documents = "\n\n".join(prose(rng, 30) for _ in range(rng.randint(1, 3)))
    return chat(None, f"{documents}\n\n{told}\n\n{text}")


def rotating_examples(_job: str, told: str, text: str, rng: Random) -> JsonObject:
    pool = [f"Text: {prose(Random(n), 6)}\nAnswer: {prose(Random(n + 50), 1)}" for n in range(15)]
    return chat(None, "\n\n".join([told, *rng.sample(pool, 3), f"Text: {text}\nAnswer:"]))


def rules_and_time(_job: str, told: str, text: str, rng: Random) -> JsonObject:
    return chat(f"{RULES}\nYou talk to {moment(rng)}.\n{told}\nIt is {rng.randint(0, 23)}:30 now.", text)


def short_templates(job: str, _told: str, text: str, _rng: Random) -> JsonObject:
    return chat(None, SHORT.get(job, "Lines? {}").format(text))


def two_dialects(_job: str, told: str, text: str, rng: Random) -> JsonObject:
    told = f"({moment(rng)}) {told}"
    if rng.random() < 0.5:
        return {"instructions": told, "input": [{"role": "user", "content": [{"type": "input_text", "text": text}]}]}
    return {"system": [{"type": "text", "text": told}], "messages": [{"role": "user", "content": text}]}


def tool_subsets(job: str, _told: str, text: str, rng: Random) -> JsonObject:
    return chat(None, text, tools=rng.sample(TOOLS.get(job, ["count_lines", "rhyme", "recite"]), 3))


def languages(job: str, told: str, text: str, rng: Random) -> JsonObject:
    return chat(f"{moment(rng)}\n{ABROAD.get(job, told)}", text)


def agent_steps(job: str, told: str, text: str, rng: Random) -> JsonObject:
    body = chat(f"{RULES}\n{told} Now: {moment(rng)}", text, tools=TOOLS.get(job, ["rhyme"]))
    for step in range(rng.randint(0, 3)):
        call = {"id": f"c{step}", "type": "function", "function": {"name": "publish", "arguments": "{}"}}
        body["messages"] += [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": f"c{step}", "content": prose(rng, 20)},
        ]
    return body


def sections_in_any_order(_job: str, told: str, text: str, rng: Random) -> JsonObject:
    sections = [f"## Rules\n{RULES}", f"## Instructions\n{told}", f"## Customer\n{moment(rng)}"]
    return chat("\n\n".join(rng.sample(sections, 3)), text)


def requests(job: str, write: Write, *, count: int, seed: str) -> list[JsonObject]:
    rng = Random(f"{job} {seed}")
    return [write(job, JOBS.get(job, STRANGER), prose(rng, rng.randint(5, 20)), rng) for _ in range(count)]


WAYS = [
    name_first, documents_first, rotating_examples, rules_and_time, short_templates, two_dialects, tool_subsets,
    languages, agent_steps, sections_in_any_order,
]  # fmt: skip


@pytest.mark.parametrize("answered", [True, False])
@pytest.mark.parametrize("write", WAYS)
def test_jobs_come_apart_and_new_requests_are_recognised(write: Write, answered: bool) -> None:
    answers = {"sort": "card", "headline": "Water found on a hill far away", "people": '["Ada", "Tom"]'}
    log = [(job, body) for job in JOBS for body in requests(job, write, count=40, seed="log")]
    items = [
        DiscoveryInput(id=f"{n:04}", request=body, answer=answers[job] if answered else None)
        for n, (job, body) in enumerate(log)
    ]
    found = discover(items)
    jobs_of = Counter((found.task_of[item.id], job) for item, (job, _) in zip(items, log, strict=True))
    assert sorted(jobs_of.values()) == [40, 40, 40]
    assert len(found.tasks) == 3
    job_of = dict(jobs_of.keys())
    match = compile_matchers(found.tasks)
    for job in JOBS:
        taken = [job_of.get(match(body, None) or "") for body in requests(job, write, count=30, seed="new")]
        assert taken.count(job) >= 29
    assert not any(match(body, None) for body in requests("stranger", write, count=30, seed="new"))


@pytest.mark.parametrize("write", WAYS)
def test_one_job_stays_one_task(write: Write) -> None:
    items = [
        DiscoveryInput(id=str(n), request=body) for n, body in enumerate(requests("sort", write, count=60, seed="x"))
    ]
    assert len(discover(items).tasks) == 1


def test_one_prompt_with_two_kinds_of_answers_is_two_tasks_that_no_request_shows() -> None:
    rng = Random(1)
    halves = WORDS[:25], WORDS[25:]
    texts = [" ".join(rng.choices(halves[n % 2], k=8)) for n in range(120)]
    answers = ["card", '{"people": ["Ada", "Tom"]}']
    items = [
        DiscoveryInput(
            id=str(n), request=chat("Answer the mail as usual, as you were shown.", text), answer=answers[n % 2]
        )
        for n, text in enumerate(texts)
    ]
    found = discover(items)
    assert {len({found.task_of[str(n)] for n in range(half, 120, 2)}) for half in (0, 1)} == {1}
    assert len(found.tasks) == 2
    assert not any(map(routable, found.tasks))
