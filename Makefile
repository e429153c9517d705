# `make demo` and `make test` each create a virtual environment and install everything that they need.

PYTHON ?= python3
BIN := .venv/bin
# The constraints apply to build environments too.
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
# Tests start many processes of PyTorch: each has one thread, which waits without spinning. (Generation would take twice as long.)
PYTEST := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/pytest -q

.PHONY: demo test test-fast fuzz kills lint format docs wheel check-wheel pictures notebooks clean

demo: .venv/installed
	$(BIN)/mmt-generate --instruments church-organ,viola,contrabass,strings,voices,horn,oboe --form ABA --section 24 --seed 2 \
		-o out/demo.mid --png --wav --overwrite

test: .venv/installed-dev
	$(PYTEST)

test-fast: .venv/installed-dev
	$(PYTEST) -m "not slow"

# Feed mutated files to all readers for an hour; inputs that make a reader fail are written to out/fuzz.
fuzz: .venv/installed-dev
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python tests/fuzz/campaign.py --seconds 3600 --findings out/fuzz

# Kill preparations, generations and trainings 20 times each, and check that their final output has the same bytes.
kills: .venv/installed-dev
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python tests/fuzz/kills.py --kills 20

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The documentation site, in out/site; a warning is an error. (`make test` runs the examples in its pages.)
docs: .venv/installed-dev
	$(BIN)/sphinx-build -q -W --keep-going -b html docs out/site

wheel: .venv/installed-dev
	rm -rf dist
	$(BIN)/pip wheel -q --no-deps -w dist .

# Install the wheel in an empty environment, and generate outside this folder.
check-wheel: wheel
	bash tests/check_wheel.sh dist/*.whl

# The pictures of the README, from the shipped model.
pictures: .venv/installed-dev
	$(BIN)/mmt-generate --instruments church-organ,viola,contrabass,strings,voices,horn,oboe --form ABA --section 24 --seed 2 \
		-o docs/images/ensemble.png --overwrite
	for beats in 4 16; do $(BIN)/mmt-generate --continue data/tiny/mayer_quartet_in_g_minor.mid --beats $$beats \
		--seed 1 --max-beats 48 -o docs/images/continue_$$beats.png --overwrite; done
	$(BIN)/python docs/images/player.py
	$(BIN)/python docs/images/studio.py

# The notebooks with their outputs, from the shipped model. Notebook 4 uses the prepared corpus data/open if it exists.
notebooks: .venv/installed-dev
	rm -rf out/attention
	if [ -d data/open ]; then $(BIN)/mmt-attention --corpus data/open --split test -o out/attention; fi
	$(BIN)/python notebooks/execute.py

clean:
	rm -rf .venv dist out .pytest_cache .mypy_cache .ruff_cache .hypothesis

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -e ".[studio]"
	touch $@

.venv/installed-dev: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -e ".[dev,docs,notebooks]"
	touch .venv/installed $@
