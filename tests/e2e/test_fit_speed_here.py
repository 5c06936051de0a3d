"""The real engine's own timings teach the prediction of its speed; bench/fit_speed_here.py says how near it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench.fit_speed_here import DEPTHS, RUN, THREADS, answer, machine_of, predicted

from insource.core.values import EngineSettings, ModelFile
from insource.engines.llamacpp import LlamaCppEngine
from insource.engines.models.gguf import read_header
from insource.fit.calibration import NO_CORRECTION, update
from insource.fit.gguf_spec import spec_of_gguf
from insource.fit.speed import Corrections
from insource.machine.measure import measure

pytestmark = [pytest.mark.engine, pytest.mark.slow]


async def test_the_engines_timings_teach_the_prediction(default_model_path: Path) -> None:
    model = ModelFile(ref="default", path=default_model_path, sha256="", size_bytes=0, source="test")
    settings = EngineSettings(context_tokens=RUN.context_tokens, slots=RUN.slots, threads=THREADS)
    engine = LlamaCppEngine(model, settings)
    await engine.start()
    try:
        speeds = [(await answer(engine, 0))[0] for _ in range(4)]
    finally:
        await engine.close()
    spec = spec_of_gguf(read_header(default_model_path), name="default")
    machine = machine_of([measure(threads=THREADS, cache_bytes=32 << 20, free_bytes=1 << 30)])
    plain = predicted(spec, machine, DEPTHS[0], Corrections())
    correction = NO_CORRECTION
    for speed in speeds:
        correction = update(correction, speed, plain)
    assert correction.n == 4
    after = predicted(spec, machine, DEPTHS[0], Corrections(decode=correction))
    assert min(plain, *speeds) <= after <= max(plain, *speeds), "it moves towards what was seen, never beyond"
    assert predicted(spec, machine, DEPTHS[2], Corrections()) < plain
