# The two commands: `make run` starts the server, `make test` runs everything. `make help` lists all.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help run test drill lint format bench docs lock clean

help:            ## List these commands
	@sed -n 's/^\([a-z]*\): .*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

run: $(VENV)/run ## Start the server on http://127.0.0.1:5000 (Ctrl-C ends it)
	@exec $(BIN)/distconf serve --upgrade

# They start hundreds of processes: bytecode is kept, also where the environment asks for none.
test drill bench: export PYTHONDONTWRITEBYTECODE :=

test: $(VENV)/dev ## Run the whole suite
	@tests/prepare
	$(BIN)/python -m pytest -n 3 --dist worksteal

drill: $(VENV)/dev ## Run the long forms of the crash and race drills as well
	$(BIN)/python -m pytest -n 3 --dist worksteal --drill

lint: $(VENV)/dev ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/dev ## Format the code
	$(BIN)/ruff check --fix-only -q .
	$(BIN)/ruff format .

bench: $(VENV)/dev ## Measure, print the table and write docs/benchmarks.md
	$(BIN)/python -m bench

docs: $(VENV)/run ## Write the generated pages of the manual
	$(BIN)/python docs/generate.py

lock: $(VENV)/dev ## Pin the dependencies of pyproject.toml, with hashes
	CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile -q --upgrade --generate-hashes --strip-extras \
		--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --extra server -o requirements.txt pyproject.toml
	CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile -q --upgrade --generate-hashes --allow-unsafe --strip-extras --extra server --extra dev \
		--no-emit-index-url --no-emit-find-links --no-emit-trusted-host -c requirements.txt -o requirements-dev.txt pyproject.toml
	@# pip-compile loses the markers of what an extra asks for: there is no pysqlite3 for every machine.
	marker=$$(sed -n 's/.*"pysqlite3>=[^;]*; \(.*\)",/\1/p' pyproject.toml | tr "'" '"'); \
	sed -i "s/^\(pysqlite3==[^ ;]*\) \\\\/\1 ; $$marker \\\\/" requirements.txt requirements-dev.txt

clean:           ## Remove the environment (the data in instance/ stays)
	rm -rf $(VENV) build *.egg-info

# Each stamp stands for an environment that holds what its files ask for.
$(VENV)/run: requirements.txt pyproject.toml setup.py
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements.txt
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps -e .
	@touch $@

$(VENV)/dev: requirements-dev.txt $(VENV)/run
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@
