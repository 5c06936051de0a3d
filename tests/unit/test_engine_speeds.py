"""What real exchanges say about the engine's speed: only what ran alone, and nothing that a log could break."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from insource.core.values import Exchange, Route
from insource.fit.families import spec_of_family
from insource.fit.memory import predict_memory
from insource.fit.speed import predict_speed
from insource.fit.values import RunSettings
from insource.fit.work import Load
from insource.machine.parse import parse_machine
from insource.store.database import open_database
from insource.store.exchanges import SqlExchangeStore
from insource.workflows.choose.engine_speeds import corrections, observed

START = datetime(2026, 11, 1, tzinfo=UTC)
RUN = RunSettings()
MACHINE = parse_machine("rtx-4090")
SPEC = spec_of_family("Qwen/Qwen3-8B")


def exchange(
    number: int, *, at: float, seconds: float = 1.0, timings: Any = None, model: str = "Qwen/Qwen3-8B"
) -> Exchange:
    return Exchange(
        id=f"e{number}",
        created=START + timedelta(seconds=at),
        request={"model": model},
        response={"timings": timings} if timings is not None else {"choices": []},
        latency_seconds=seconds,
        route=Route(upstream="engine:llamacpp", model=model, reason="moved"),
    )


def timed(decode: float = 50.0, *, answer: int = 100, prompt: int = 200, cached: int = 0) -> dict[str, float]:
    return {
        "cache_n": cached,
        "prompt_n": prompt,
        "prompt_per_second": 1000.0,
        "predicted_n": answer,
        "predicted_per_second": decode,
    }


def test_only_what_ran_alone_counts() -> None:
    alone = exchange(1, at=0, timings=timed())
    together = [exchange(2, at=10, seconds=5, timings=timed()), exchange(3, at=12, timings=timed())]
    inside_the_long_one = exchange(4, at=14.5, timings=timed())
    later = exchange(5, at=30, timings=timed(60))
    found = observed([alone, *together, inside_the_long_one, later])
    assert [item.decode_tokens_per_second for item in found] == [50, 60]


def test_depth_is_the_middle_of_the_answer_and_short_answers_say_nothing() -> None:
    (deep,) = observed([exchange(1, at=0, timings=timed(answer=100, prompt=200, cached=300))])
    assert (deep.depth_tokens, deep.prefill_tokens_per_second) == (550, None), "a cached prompt was not read"
    (short,) = observed([exchange(1, at=0, timings=timed(answer=2))])
    assert (short.decode_tokens_per_second, short.prefill_tokens_per_second) == (None, 1000)
    assert observed([exchange(1, at=0, timings=timed(answer=2, prompt=3))]) == []
    assert observed([exchange(1, at=0)]) == []


@given(st.lists(st.one_of(st.none(), st.text(), st.dictionaries(st.text(), st.text()), st.floats()), max_size=5))
def test_a_log_may_hold_anything(values: list[Any]) -> None:
    bodies = [dict.fromkeys(timed(), value) for value in values] + values
    observed([exchange(number, at=10 * number, timings=body) for number, body in enumerate(bodies)])


def test_speeds_in_the_log_correct_the_prediction_of_their_family_alone(tmp_path: Path) -> None:
    assert SPEC is not None
    database = open_database(f"sqlite:///{tmp_path / 'log.db'}")
    store = SqlExchangeStore(database)
    memory = predict_memory(SPEC, MACHINE, RUN)
    plain = predict_speed(SPEC, MACHINE, RUN, memory=memory, load=Load(depth_tokens=250))
    assert plain is not None
    half = plain.decode_tokens_per_second.mid / 2
    store.append([exchange(n, at=10 * n, timings=timed(half)) for n in range(50)])
    store.append([exchange(100 + n, at=1000 + 10 * n, timings=timed(1.0), model="gone") for n in range(50)])

    def learned(family: str) -> Any:
        specs = {"Qwen/Qwen3-8B": SPEC}
        return corrections(store, spec_of=specs.get, family=family, machine=MACHINE, run=RUN)

    found = learned("qwen3")
    corrected = predict_speed(SPEC, MACHINE, RUN, memory=memory, load=Load(depth_tokens=250), corrections=found)
    assert corrected is not None
    assert found.decode.n == 50
    assert abs(corrected.decode_tokens_per_second.mid / half - 1) < 0.02
    wide, narrow = plain.decode_tokens_per_second, corrected.decode_tokens_per_second
    assert narrow.high / narrow.low < wide.high / wide.low
    assert learned("llama").decode.n == 0
    database.close()
