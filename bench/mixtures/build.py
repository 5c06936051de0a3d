"""The mixtures: each gives labelled requests of several jobs whose prompts vary in one way that logs show."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from bench.mixtures import prompts
from bench.mixtures.material import SOURCES, Pair, Slots, calls

Body = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    label: str
    request: Body
    answer: str | None
    tool_call: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request to write: a job's message, and the slots to fill."""

    job: str
    text: str
    answer: str | None
    slots: Slots

    @property
    def rng(self) -> Random:
        return self.slots.rng


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    name: str
    jobs: Sequence[str]
    write: Callable[[Ask], Body | list[Body]]
    """A list: the steps of one conversation."""
    stranger: str | None = None
    """A job that is in no log but asks in the same frame; it must not be recognised."""
    answers: bool = True
    sources: dict[str, str] = field(default_factory=dict[str, str])
    """Of jobs that are not named after their source."""
    chatter: frozenset[str] = frozenset()
    """Jobs without a prompt, which no request shows: they need not be recognised."""
    sizes: dict[str, float] = field(default_factory=dict[str, float])
    """Of jobs that are rarer or more frequent than the others."""

    def samples(self, *, each: int, seed: int, late: bool) -> list[Sample]:
        return [sample for job in self.jobs for sample in self._of(job, each=each, seed=seed, late=late)]

    def strangers(self, *, each: int, seed: int) -> list[Sample]:
        return list(self._of(self.stranger, each=each, seed=seed, late=True)) if self.stranger else []

    def _of(self, job: str, *, each: int, seed: int, late: bool) -> Iterator[Sample]:
        rng = Random(f"{seed} {self.name} {job} {late}")
        pairs = sorted(SOURCES[self.sources.get(job, job)]())
        Random(f"order of {job}").shuffle(pairs)
        half = pairs[len(pairs) // 2 :] if late else pairs[: len(pairs) // 2]
        size = max(5, round(each * self.sizes.get(job, 1)))
        chosen: list[Pair] = [half[n % len(half)] for n in range(size)]
        for text, answer in chosen:
            body = self.write(Ask(job=job, text=text, answer=answer, slots=Slots(rng, late)))
            for one in body if isinstance(body, list) else [body]:
                known = answer if self.answers else None
                yield Sample(label=job, request=one, answer=known, tool_call="tools" in one and rng.random() < 0.6)


def chat(system: str | None, *turns: str, tools: Sequence[str] = ()) -> Body:
    messages = [{"role": "system", "content": system}] if system is not None else []
    body: Body = {"model": "gpt-4o-mini", "messages": messages + [{"role": "user", "content": turn} for turn in turns]}
    if tools:
        body["tools"] = [{"type": "function", "function": {"name": name}} for name in tools]
    return body


# ------------------------------------------------------------------------------------------- one way to vary each


def date_and_name(ask: Ask) -> Body:
    head = f"Today is {ask.slots.long_date()}. You are talking to {ask.slots.name()} from {ask.slots.city()}.\n\n"
    return chat(head + prompts.INSTRUCTIONS[ask.job], ask.text)


def date_and_name_in_user(ask: Ask) -> Body:
    head = f"[{ask.slots.date()} {ask.slots.time()}] {ask.slots.name()}: "
    return chat(None, f"{head}{prompts.INSTRUCTIONS[ask.job]}\n{ask.text}")


def retrieved_first(ask: Ask) -> Body:
    passages = "\n\n".join(ask.slots.passages(ask.rng.choice((1, 2, 3))))
    return chat(None, f"{passages}\n\n{prompts.INSTRUCTIONS[ask.job]}\n\n{ask.text}")


def one_passage(ask: Ask) -> Body:
    (passage,) = ask.slots.passages(1, pool=20)
    return chat(f"Context:\n{passage}\n\n{prompts.INSTRUCTIONS[ask.job]}", ask.text)


def rotating_examples(ask: Ask) -> Body:
    source, form = prompts.EXAMPLES[ask.job]
    pool = SOURCES[source]()[: 40 if ask.slots.late else 25]
    shown = "\n\n".join(form.format(*pair) for pair in ask.rng.sample(pool, 3))
    return chat(None, f"{prompts.INSTRUCTIONS[ask.job]}\n\n{shown}\n\n" + form.split("{}")[0] + ask.text)


def one_example(ask: Ask) -> Body:
    source, form = prompts.EXAMPLES[ask.job]
    pair = ask.rng.choice(SOURCES[source]()[:8])
    return chat(f"{prompts.INSTRUCTIONS[ask.job]}\nExample:\n{form.format(*pair)}", ask.text)


def example_turns(ask: Ask) -> Body:
    source, _ = prompts.EXAMPLES[ask.job]
    shown = ask.rng.sample(SOURCES[source]()[:20], 2)
    body = chat(prompts.INSTRUCTIONS[ask.job])
    for text, answer in shown:
        body["messages"] += [{"role": "user", "content": text}, {"role": "assistant", "content": answer}]
    body["messages"].append({"role": "user", "content": ask.text})
    return body


def rules_name_instruction_time(ask: Ask) -> Body:
    system = (
        f"{prompts.RULES}\n\nThe customer is called {ask.slots.name()}.\n{prompts.INSTRUCTIONS[ask.job]}\n"
        f"It is {ask.slots.time()} on {ask.slots.date()}."
    )
    return chat(system, ask.text)


def rules_and_instruction_in_user(ask: Ask) -> Body:
    return chat(prompts.RULES, f"{prompts.INSTRUCTIONS[ask.job]}\n\n{ask.text}")


def memory(ask: Ask) -> Body:
    facts = "\n".join(f"- {fact}" for fact in ask.slots.memory(ask.rng.choice((2, 3, 4))))
    return chat(
        f"{prompts.RULES}\n\nWhat you remember of {ask.slots.name()}:\n{facts}\n\n"
        f"Task: {prompts.INSTRUCTIONS[ask.job]}",
        ask.text,
    )


def user_profile(ask: Ask) -> Body:
    """Few users, each with a long text of its own."""
    known = Random(f"user {ask.rng.randrange(6)}")
    facts = ", ".join(Slots(known).memory(8))
    return chat(f"About the user: {facts}.\n{prompts.INSTRUCTIONS[ask.job]}", ask.text)


def short_templates(ask: Ask) -> Body:
    return chat(None, prompts.SHORT[ask.job].format(ask.text))


def bare_templates(ask: Ask) -> Body:
    return chat(None, prompts.BARE[ask.job].format(ask.text))


def short_templates_among_chat(ask: Ask) -> Body:
    return chat(
        "You are a helpful assistant.", prompts.SHORT[ask.job].format(ask.text) if ask.job != "assistant" else ask.text
    )


def dialects(ask: Ask) -> Body:
    """Each job comes in every dialect: a request's dialect does not make another job."""
    system, text = prompts.INSTRUCTIONS[ask.job], ask.text
    parts = [{"type": "text", "text": text}]
    return ask.rng.choice(
        (
            chat(system, text),
            {"messages": [{"role": "developer", "content": system}, {"role": "user", "content": parts}]},
            {"instructions": system, "input": text},
            {"input": [{"role": "developer", "content": system},
                       {"role": "user", "content": [{"type": "input_text", "text": text}]}]},
            {"system": system, "messages": [{"role": "user", "content": text}], "max_tokens": 100},
            {"system": [{"type": "text", "text": system}], "messages": [{"role": "user", "content": parts}]},
            {"systemInstruction": {"parts": [{"text": system}]},
             "contents": [{"role": "user", "parts": [{"text": text}]}]},
        )
    )  # fmt: skip


def responses_and_anthropic(ask: Ask) -> Body:
    """Each job has a dialect of its own; instructions and messages vary by name and date."""
    system = f"User: {ask.slots.name()} ({ask.slots.date()}). {prompts.INSTRUCTIONS[ask.job]}"
    if len(ask.job) % 2:
        return {
            "instructions": system,
            "input": [{"role": "user", "content": [{"type": "input_text", "text": ask.text}]}],
        }
    return {"system": [{"type": "text", "text": system}], "messages": [{"role": "user", "content": ask.text}]}


def tool_subsets(ask: Ask) -> Body:
    tools = prompts.TOOLS[ask.job]
    return chat(
        "You are a helpful assistant.", ask.text, tools=ask.rng.sample(tools, ask.rng.randint(2, len(tools) - 1))
    )


def tool_subsets_and_prompts(ask: Ask) -> Body:
    everything = sorted({name for names in prompts.TOOLS.values() for name in names})
    system = f"{prompts.INSTRUCTIONS[ask.job]} Use tools where they help."
    return chat(system, ask.text, tools=ask.rng.sample(everything, 6))


def tools_of_each_request(ask: Ask) -> Body:
    """Every request of a job brings functions of its own."""
    item = ask.rng.choice(calls())
    return {**chat(prompts.INSTRUCTIONS[ask.job], ask.text), "tools": item["tools"]}


def languages(ask: Ask) -> Body:
    instruction = next(found[ask.job] for found in prompts.LANGUAGES.values() if ask.job in found)
    return chat(f"{ask.slots.date()}\n{instruction}", ask.text)


def agent_steps(ask: Ask) -> list[Body]:
    """A conversation that grows by a tool call and its result at each step, and sometimes by another question."""
    tools = prompts.TOOLS[ask.job]
    system = f"{prompts.ROLES[ask.job]} {prompts.RULES} Now: {ask.slots.time()}"
    turns = [{"role": "system", "content": system}, {"role": "user", "content": ask.text}]
    found: list[Body] = []
    for step in range(ask.rng.randint(1, 6)):
        body = chat(None, tools=tools)
        found.append({**body, "messages": list(turns)})
        name = ask.rng.choice(tools)
        call = {"id": f"c{step}", "type": "function", "function": {"name": name, "arguments": "{}"}}
        result = {"role": "tool", "tool_call_id": f"c{step}", "content": ask.slots.passages(1)[0]}
        turns += [{"role": "assistant", "content": None, "tool_calls": [call]}, result]
        if ask.rng.random() < 0.3:
            turns.append({"role": "user", "content": ask.rng.choice(SOURCES[ask.job]())[0]})
    return found


def anthropic_agent_steps(ask: Ask) -> list[Body]:
    tools = [{"name": name, "input_schema": {}} for name in prompts.TOOLS[ask.job]]
    turns: list[Body] = [{"role": "user", "content": ask.text}]
    found: list[Body] = []
    for step in range(ask.rng.randint(1, 6)):
        system = [{"type": "text", "text": f"{prompts.RULES}\n{prompts.ROLES[ask.job]}"}]
        found.append({"system": system, "tools": ask.rng.sample(tools, len(tools) - 1), "messages": list(turns)})
        use = {"type": "tool_use", "id": f"t{step}", "name": tools[0]["name"], "input": {}}
        result = {"type": "tool_result", "tool_use_id": f"t{step}", "content": ask.slots.passages(1)[0]}
        turns += [{"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
    return found


def one_prompt_two_kinds(ask: Ask) -> Body:
    return chat("You answer what comes in by mail, as you were trained to.", ask.text)


def xml_tags(ask: Ask) -> Body:
    text = (
        f'<context>\n  <user name="{ask.slots.name()}" since="{ask.slots.date()}"/>\n'
        f"  <memory>{'; '.join(ask.slots.memory(2))}</memory>\n</context>\n"
        f"<instructions>{prompts.INSTRUCTIONS[ask.job]}</instructions>\n<input>{ask.text}</input>"
    )
    return chat(prompts.RULES, text)


def json_prompts(ask: Ask) -> Body:
    body = {"user": ask.slots.name(), "at": ask.slots.date(), "task": ask.job, "text": ask.text, "version": 3}
    return chat("You get a JSON object. Do its task with its text.", json.dumps(body))


def markdown_sections(ask: Ask) -> Body:
    """Sections in another order each time."""
    sections = [
        f"## Rules\n{prompts.RULES}",
        f"## Instructions\n{prompts.INSTRUCTIONS[ask.job]}",
        f"## Customer\n{ask.slots.name()}, {ask.slots.city()}",
        "## Memory\n" + "\n".join(f"* {fact}" for fact in ask.slots.memory(3)),
    ]
    ask.rng.shuffle(sections)
    return chat("\n\n".join(sections), ask.text)


def instruction_last(ask: Ask) -> Body:
    return chat(None, f'"""{ask.text}"""\n\n{ask.slots.name()} wants this: {prompts.INSTRUCTIONS[ask.job]}')


def answer_formats(ask: Ask) -> Body:
    """The same words; only the schema of the answer tells the jobs apart."""
    schema = {"name": f"{ask.job}_result", "schema": {"type": "object"}}
    body = chat("Fill the schema from the message.", ask.text)
    return {**body, "response_format": {"type": "json_schema", "json_schema": schema}}


def forty_tasks(ask: Ask) -> Body:
    return chat(f"{prompts.RULES}\nThe customer is {ask.slots.name()}.\n{prompts.FORTY[ask.job]}", ask.text)


def everything(ask: Ask) -> Body | list[Body]:
    write = (date_and_name, retrieved_first, rules_name_instruction_time, short_templates, memory, dialects, xml_tags)
    number = sorted(SOURCES).index(ask.job)
    return agent_steps(ask) if ask.job == "maths" else write[number % len(write)](ask)


FORTY = {job: ("bank", "booking", "personal", "assistant", "maths")[n % 5] for n, job in enumerate(prompts.FORTY)}
"""Source of each."""
_SIX = ("bank", "assistant", "maths", "exam", "booking", "personal")
_BANK = ("bank", "mood", "length", "rewrite")
_SHOWN = ("bank", "assistant", "booking", "personal")
_AGENTS = ("bank", "assistant", "maths", "booking")


def mixtures() -> list[Mixture]:
    return [
        Mixture(name="date and user name in front", jobs=_SIX, write=date_and_name, stranger="survey"),
        Mixture(name="the same in the user's message", jobs=_SIX, write=date_and_name_in_user, stranger="survey"),
        Mixture(name="retrieved text first", jobs=_SIX, write=retrieved_first, stranger="survey"),
        Mixture(name="one of twenty passages first", jobs=_SIX, write=one_passage, stranger="survey"),
        Mixture(name="rotating examples", jobs=_SHOWN, write=rotating_examples, stranger="mood"),
        Mixture(name="one example of eight", jobs=_SHOWN, write=one_example, stranger="mood"),
        Mixture(name="examples as turns", jobs=_SHOWN, write=example_turns, stranger="mood"),
        Mixture(name="rules, name, instruction, time", jobs=_SIX, write=rules_name_instruction_time, stranger="survey"),
        Mixture(name="the same, all on one source", jobs=_BANK, write=rules_name_instruction_time, stranger="survey"),
        Mixture(name="rules apart from instructions", jobs=_BANK, write=rules_and_instruction_in_user, stranger="exam"),
        Mixture(name="memory of the user", jobs=_SIX, write=memory, stranger="survey"),
        Mixture(name="six users with long profiles", jobs=_SIX, write=user_profile, stranger="survey"),
        Mixture(name="short templates", jobs=_SIX, write=short_templates, stranger="mood"),
        Mixture(name="short templates on one source", jobs=_BANK, write=short_templates, stranger="exam"),
        Mixture(
            name="short templates, no punctuation", jobs=("bank", "maths", "booking", "rewrite"), write=bare_templates
        ),
        Mixture(
            name="short templates among free chat",
            jobs=_SIX,
            write=short_templates_among_chat,
            chatter=frozenset({"assistant"}),
        ),
        Mixture(name="every dialect for every job", jobs=_SIX, write=dialects, stranger="survey"),
        Mixture(name="Responses and Anthropic bodies", jobs=_SIX, write=responses_and_anthropic, stranger="survey"),
        Mixture(name="random subsets of tools", jobs=_AGENTS, write=tool_subsets, stranger="personal"),
        Mixture(name="prompts, any of all tools", jobs=_AGENTS, write=tool_subsets_and_prompts, stranger="personal"),
        Mixture(name="tools of each request's own", jobs=_AGENTS, write=tools_of_each_request, stranger="personal"),
        Mixture(name="three languages", jobs=tuple(j for x in prompts.LANGUAGES.values() for j in x), write=languages),
        Mixture(name="steps of agents", jobs=_AGENTS, write=agent_steps, stranger="personal"),
        Mixture(name="steps of agents, Anthropic", jobs=_AGENTS, write=anthropic_agent_steps, stranger="personal"),
        Mixture(name="XML tags", jobs=_SIX, write=xml_tags, stranger="survey"),
        Mixture(name="JSON prompts", jobs=_SIX, write=json_prompts, stranger="survey"),
        Mixture(name="Markdown sections in any order", jobs=_SIX, write=markdown_sections, stranger="survey"),
        Mixture(name="instruction last", jobs=_SIX, write=instruction_last, stranger="survey"),
        Mixture(name="answer schemas", jobs=_AGENTS, write=answer_formats, stranger="personal"),
        Mixture(name="forty tasks under one set of rules", jobs=tuple(FORTY), write=forty_tasks, sources=FORTY),
        Mixture(name="ten jobs, eight ways to vary", jobs=tuple(SOURCES), write=everything),
    ]


def same_prompt() -> Mixture:
    """Told apart by the answers alone; no request shows which it is, so none is recognised."""
    return Mixture(name="one prompt, answers of two kinds", jobs=("bank", "booking"), write=one_prompt_two_kinds)
