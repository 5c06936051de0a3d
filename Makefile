# The commands of this project; CI runs exactly these.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q

AXE := 4.14.1
# Processes that run the tests; each file stays in one of them. 0: one after another.
WORKERS ?= 0

BENCHES := discovery privacy_detect privacy_policy gateway machine scout fit_peers fit_memory fit_speed fit_speed_peers fit_coverage fit_peak_memory fit_capacity fit_speed_here hub_scale hub_lineage scout_hub

.PHONY: demo test promises faults differential browser screenshots check bench docs build clean

# Talk goes to stderr, so that `make demo ARGS="--no-serve --json"` prints one JSON document and nothing else.
.venv/base: pyproject.toml constraints.txt
	@echo "Setting up .venv …" >&2
	@$(PYTHON) -m venv .venv
	@$(PIP) install -c constraints.txt -e . >&2
	@touch $@

.venv/dev: .venv/base
	@echo "Installing what the tests need …" >&2
	@$(PIP) install -c constraints.txt -e '.[dev]' >&2
	@touch $@

# The whole loop on the traffic written for it, then the gateway on loopback. `make demo ARGS=--no-serve` ends after the report.
demo: .venv/base
	@$(BIN)/insource demo $(ARGS)

# Some hundred processes are started: compiled modules are kept, whatever the environment says of them.
test: .venv/dev
	$(BIN)/insource models pull
	PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

# The promises at length: 10,000 drawn requests where `make test` tries 300.
promises: .venv/dev
	INSOURCE_PROMISE_CASES=10000 $(BIN)/pytest tests/promises $(ARGS)

# Writes docs/faults.md, the table of what a faulty upstream does.
faults: .venv/dev
	INSOURCE_TEST_WRITE_FAULTS=1 $(BIN)/pytest tests/faults/test_faults.py

# Other people's clients with and without the gateway, from PyPI and npm; writes docs/clients.md. `ARGS=llm`: only that.
differential: .venv/dev
	$(BIN)/python -m tests.differential.run $(ARGS)

# A walk over the dashboard in the system's Chromium; INSOURCE_TEST_CHROMIUM names another, INSOURCE_TEST_STORE a store.
browser: .venv/dev build/axe/package/axe.min.js
	INSOURCE_TEST_AXE=build/axe/package/axe.min.js INSOURCE_TEST_CHROMIUM=$${INSOURCE_TEST_CHROMIUM:-chromium} $(BIN)/pytest tests/browser $(ARGS)

# The accessibility checker that the walk runs over every page (MPL-2.0): fetched by npm, never part of insource.
build/axe/package/axe.min.js:
	mkdir -p build/axe
	cd build/axe && npm pack --silent axe-core@$(AXE) && tar -xzf axe-core-$(AXE).tgz package/axe.min.js

# Pictures of every page at 390 and 1,440 px, light and dark, in build/screenshots.
screenshots: .venv/dev
	mkdir -p build/screenshots
	INSOURCE_TEST_SCREENSHOTS=build/screenshots $(MAKE) browser ARGS="-k every_page"

check: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright
	$(BIN)/python docs/generate.py --check

# Speed, memory and quality figures as tables of ratios; each script also writes bench/results/.
bench: .venv/dev
	for name in $(BENCHES); do echo "== $$name"; PYTHONPATH=. $(BIN)/python bench/$$name.py || exit 1; done

# The generated pages: commands, settings, errors, API.
docs: .venv/dev
	$(BIN)/python docs/generate.py

build: .venv/dev
	rm -rf dist
	$(BIN)/python -m build --outdir dist

clean:
	rm -rf .venv dist build
