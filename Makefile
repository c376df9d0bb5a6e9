# make run, make test and make bench each do all their own set-up.
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin

TEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

define QUICK
$(BIN)/ruff check .
$(BIN)/ruff format --check .
$(BIN)/lint-imports
$(BIN)/deptry .
endef

.PHONY: help install run test bench lint audit clean

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(VENV)/.installed  ## make .venv and install Spikefront with pinned versions

$(VENV)/.installed: pyproject.toml constraints.txt scripts/make-venv
	@scripts/make-venv $(VENV)
	@touch $@

$(VENV)/.installed-test: pyproject.toml constraints.txt scripts/make-venv
	@scripts/make-venv $(VENV) test
	@touch $(VENV)/.installed $@

run: install  ## start everything; ARGS="--no-demo" and the like are passed on
	@exec $(BIN)/spikefront up $(ARGS)

test: $(VENV)/.installed-test  ## every check: style, structure, types, docs, unit, system and browser tests
	@scripts/need-chromium
	$(QUICK)
ifdef ARGS
	$(BIN)/mypy
	$(BIN)/python -m pytest $(ARGS)
else
	@echo "$(BIN)/mypy, beside the tests: it has one core's work"
	@$(BIN)/mypy & types=$$!; $(TEST) --ignore tests/worker --ignore tests/system; tests=$$?; wait $$types && exit $$tests
	$(TEST) tests/worker tests/system
endif

bench: $(VENV)/.installed-test  ## the benchmarks, small
	@scripts/need-chromium
	$(BIN)/python -m benchmarks --small $(ARGS)

lint: $(VENV)/.installed-test  ## style, structure, declared packages and types only
	$(QUICK)
	$(BIN)/mypy

audit: $(VENV)/.installed  ## known vulnerabilities of the pinned packages; 2 where their database cannot be reached
	@$(BIN)/python scripts/audit

clean:  ## remove the environment and caches (never your data)
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache .hypothesis .import_linter_cache .mypy_cache
