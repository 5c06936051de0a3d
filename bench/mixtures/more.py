"""More ways in which prompts vary, written after discovery held on the first ones (`build`): other languages,
layouts, sizes, and logs of a single job, which have to stay one task."""

from __future__ import annotations

import json
from dataclasses import replace

from bench.mixtures import build, prompts
from bench.mixtures.build import Ask, Body, Mixture, chat
from bench.mixtures.material import SOURCES

_OTHER = {
    "bank": "以下のお客様のメッセージを読み、用件を一語で答えてください。",
    "assistant": "अपने घर के सहायक के लिए यह आदेश पढ़ो और बताओ कि कौन सा कौशल चाहिए।",
    "maths": "Rozwiąż poniższe zadanie tekstowe, pokazując każdy krok, i podaj liczbę na końcu.",
    "exam": "اختر الإجابة الصحيحة عن سؤال الامتحان هذا واكتب الحرف فقط.",
    "booking": "Etsi varauksesta henkilömäärä, päivä, kellonaika ja nimi ja palauta ne JSON-muodossa.",
    "personal": "Замени всё, что указывает на человека, подходящей меткой и верни текст целиком.",
}
_LINES = {"bank": "classify", "assistant": "route", "maths": "solve", "booking": "extract", "personal": "mask"}
_LAST = {
    "bank": "Which intent is it?",
    "mood": "Question or statement?",
    "length": "How long is it: short, medium or long?",
    "rewrite": "And now all of it backwards, please.",
}
_TARGETS = {"bank": "French", "mood": "German", "length": "Italian", "rewrite": "Polish"}
_ASPECTS = {"bank": "intent", "mood": "sentiment", "length": "urgency", "rewrite": "language"}
_PEOPLE = ("Ada", "Bela", "Cleo", "Dora")
_LAYERS = {
    "bank": "a banking desk that names intents",
    "assistant": "a home assistant that names skills",
    "maths": "a tutor who solves word problems step by step",
    "booking": "a head waiter who writes reservations down as JSON",
}


def other_languages(ask: Ask) -> Body:
    return chat(f"{ask.slots.name()} · {ask.slots.date()}\n{_OTHER[ask.job]}", ask.text)


def shared_input_output(ask: Ask) -> Body:
    """Few-shot blocks in one form for all jobs; only the first line says what is wanted."""
    source, _ = prompts.EXAMPLES[ask.job]
    shown = "\n\n".join(
        f"Input: {text}\nOutput: {answer}" for text, answer in ask.rng.sample(SOURCES[source]()[:30], 4)
    )
    return chat(None, f"{prompts.INSTRUCTIONS[ask.job]}\n\n{shown}\n\nInput: {ask.text}\nOutput:")


def examples_say_it_all(ask: Ask) -> Body:
    """No instruction at all: only the examples' form tells the jobs apart."""
    source, form = prompts.EXAMPLES[ask.job]
    shown = "\n\n".join(form.format(*pair) for pair in ask.rng.sample(SOURCES[source]()[:30], 3))
    return chat("Continue the pattern.", f"{shown}\n\n" + form.format(ask.text, "").rstrip())


def last_line(ask: Ask) -> Body:
    return chat("You help the desk of a bank.", f"{ask.slots.name()} wrote:\n\n{ask.text}\n\n---\n{_LAST[ask.job]}")


def a_word_apart(ask: Ask) -> Body:
    """The same sentence with another word in it, among rules, on the same messages."""
    return chat(f"{prompts.RULES}\nTranslate the message to {_TARGETS[ask.job]}. It is {ask.slots.time()}.", ask.text)


def a_word_of_the_question(ask: Ask) -> Body:
    """The same in the user's message, with a slot beside it that few people fill."""
    told = f"The customer is called {ask.rng.choice(_PEOPLE)}. Classify the {_ASPECTS[ask.job]} of the message"
    return chat(None, f"{told}.\n\n{ask.text}")


def a_word_of_the_role(ask: Ask) -> Body:
    return chat(f"Today is {ask.slots.long_date()}. You are a careful {_ASPECTS[ask.job]} classifier.", ask.text)


def greeting(ask: Ask) -> Body:
    """An order with a slot that four customers fill."""
    return chat(f"Greet the customer {ask.rng.choice(_PEOPLE)} and answer in {_TARGETS[ask.job]}.", ask.text)


def command_lines(ask: Ask) -> Body:
    return chat(None, f"/{_LINES[ask.job]} {ask.text}")


def layers(ask: Ask) -> Body:
    """A long system prompt in which one line, somewhere in the middle, differs."""
    facts = "\n".join(f"- {fact}" for fact in ask.slots.memory(5))
    return chat(
        f"# Assistant\nCurrent time: {ask.slots.date()} {ask.slots.time()}\n"
        f"User: {ask.slots.name()}, {ask.slots.city()}\n\n"
        f"# Policy\n{prompts.RULES}\n\n# Persona\nYou are {_LAYERS[ask.job]}.\n\n# Memory\n{facts}\n\n"
        f"# Style\nShort sentences. British spelling. No emoji.\n",
        ask.text,
    )


def long_documents(ask: Ask) -> Body:
    document = "\n\n".join(ask.slots.passages(40, pool=120))
    return chat(None, f"<documents>\n{document}\n</documents>\n\n{prompts.INSTRUCTIONS[ask.job]}\n\n{ask.text}")


def responses_agent(ask: Ask) -> list[Body]:
    """Steps in the Responses dialect: calls and their outputs are items of the input."""
    items: list[Body] = [{"role": "user", "content": ask.text}]
    found: list[Body] = []
    tools = [{"type": "function", "name": name} for name in prompts.TOOLS[ask.job]]
    for step in range(ask.rng.randint(1, 5)):
        instructions = f"{prompts.ROLES[ask.job]} {prompts.INSTRUCTIONS[ask.job]} {ask.slots.long_date()}."
        found.append({"instructions": instructions, "input": list(items), "tools": tools})
        items += [
            {"type": "function_call", "call_id": f"f{step}", "name": tools[0]["name"], "arguments": "{}"},
            {"type": "function_call_output", "call_id": f"f{step}", "output": ask.slots.passages(1)[0]},
        ]
    return found


def few_inputs(ask: Ask) -> Body:
    """The same dozen messages again and again, under prompts with another name each time."""
    pairs = sorted(SOURCES[ask.job]())
    text = pairs[ask.rng.randrange(12) * (len(pairs) // 12)][0]
    return chat(f"You talk to {ask.slots.name()} on {ask.slots.date()}.\n{prompts.INSTRUCTIONS[ask.job]}", text)


def chatter(ask: Ask) -> Body:
    """Most of the log is free chat under a system prompt that says nothing."""
    if ask.job == "assistant":
        return chat("You are a helpful, honest assistant.", ask.text)
    return chat("You are a helpful, honest assistant.", f"{prompts.INSTRUCTIONS[ask.job]}\n\n{ask.text}")


def json_keys(ask: Ask) -> Body:
    body = {
        "meta": {
            "ts": f"{ask.slots.date()}T{ask.slots.time()}Z",
            "locale": ask.rng.choice(("en_GB", "de_AT", "pt_BR")),
        },
        "op": {"name": _LINES[ask.job], "v": 2},
        "payload": {"body": ask.text, "from": ask.slots.name()},
    }
    return chat(None, json.dumps(body, indent=2, ensure_ascii=False))


_FIVE = ("bank", "assistant", "maths", "booking", "personal")
_SIX = ("bank", "assistant", "maths", "exam", "booking", "personal")
_BANK = ("bank", "mood", "length", "rewrite")
_SHOWN = ("bank", "assistant", "booking", "personal")


def more_mixtures() -> list[Mixture]:
    return [
        Mixture(name="six other languages", jobs=_SIX, write=other_languages),
        Mixture(name="few-shot blocks of one form", jobs=_SHOWN, write=shared_input_output, stranger="mood"),
        Mixture(name="examples without an instruction", jobs=_SHOWN, write=examples_say_it_all),
        Mixture(name="the last line says it", jobs=_BANK, write=last_line),
        Mixture(name="one word apart, same messages", jobs=_BANK, write=a_word_apart),
        Mixture(name="one word of the question apart", jobs=_BANK, write=a_word_of_the_question),
        Mixture(name="one word of the role apart", jobs=_BANK, write=a_word_of_the_role),
        Mixture(name="one word apart, four customers", jobs=_BANK, write=greeting),
        Mixture(name="command lines", jobs=_FIVE, write=command_lines),
        Mixture(name="one line of a long prompt", jobs=tuple(_LAYERS), write=layers),
        Mixture(name="long documents first", jobs=_SIX, write=long_documents, stranger="survey"),
        Mixture(name="agents, Responses", jobs=("bank", "assistant", "maths", "booking"), write=responses_agent),
        Mixture(name="a dozen messages again and again", jobs=_SIX, write=few_inputs, stranger="survey"),
        Mixture(
            name="mostly free chat", jobs=_SIX, write=chatter, chatter=frozenset({"assistant"}), sizes={"assistant": 8},
        ),
        Mixture(name="JSON with other keys", jobs=_FIVE, write=json_keys),
        Mixture(
            name="rules, name, instruction, rare jobs", jobs=_SIX, write=build.rules_name_instruction_time,
            stranger="survey",
            sizes={"bank": 3, "assistant": 2, "maths": 0.3, "booking": 0.1, "personal": 0.3},
        ),
    ]  # fmt: skip


def single_jobs() -> list[Mixture]:
    """V is 1 where the job stays one task, and 0 where it does not."""
    return [
        replace(mixture, name=f"one job: {mixture.name}", jobs=(job,), stranger=None, chatter=frozenset())
        for mixture in [*build.mixtures(), *more_mixtures()]
        for job in [mixture.jobs[0]]
        if mixture.name not in ("forty tasks under one set of rules", "ten jobs, eight ways to vary")
    ]
