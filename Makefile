# make demo   from nothing to the architecture of the page "Cluster expansion" on real nodes of this machine
# make test   lint, unit, functional and integration tests, and one end-to-end on real nodes
# make versions  unit and functional tests on every Salt, synced and installed; one of them: make salt-3006-installed
# make bench  measurements beside peers, with limits; one part: make bench PARTS=api
# make chaos  faults at every boundary and at random moments of expansions; hours, goes on where it was stopped:
#             SEED=4711 RUNS=1 a random run, RUN=promoted+master-killed one of the others, MORE="--short" and other options
# make docs   the documentation as HTML

SHELL := /bin/sh
CACHE := $(or $(METALK8S_LAB_CACHE),/var/cache/metalk8s-expand-lab)
# A virtual environment is named after what it is made of, so a change makes a new one.
venv = $(CACHE)/venv-$(shell cat $(1) tests/setup 2>/dev/null | sha256sum | cut -c1-12)
VENV := $(call venv,tests/requirements.txt)
VENV_3006 := $(call venv,tests/requirements-3006.txt)
VENV_3007 := $(call venv,tests/requirements-3007.txt)
VENV_3008 := $(VENV)
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest
# The bootstrap node, with master, runner and the only member of etcd, loses its power during the deployment.
CI_SEED := 70
# The Salts that are supported, and the two ways in which one finds the extension.
COMBINATIONS := $(foreach salt,3006 3007 3008,salt-$(salt)-synced salt-$(salt)-installed)
TESTED := tests/functional tests/unit/metalk8s_expand
# Of these, where Salt's versions differ, as far as it takes some five minutes: its loader, and what imports it.
TREE := tests/functional/test_metalk8s_tree.py
SALTY := -m 'not full' $(filter-out $(TREE),$(wildcard tests/functional/test_*.py)) $(TREE)::TestChain \
	tests/unit/metalk8s_expand/clients tests/unit/metalk8s_expand/test_boundary.py

.PHONY: demo test test-full versions $(COMBINATIONS) lint unit integration lab bench chaos docs clean

demo:
	@command -v python3 >/dev/null || { apt-get update -qq && apt-get install -y -qq python3; }
	./lab/lab up
	./lab/lab exec bootstrap -- salt-run metalk8s_expand.plan
	./lab/lab exec bootstrap -- salt-run metalk8s_expand.expand probe=True
	./lab/lab exec bootstrap -- kubectl get nodes --output=wide
	./lab/lab exec bootstrap -- salt-run metalk8s_expand.health

# One run of pytest over everything, so that its closing line, which is the last one, counts every test; before it one of
# the other Salts, in the other mode. Of tests that are many of one kind, a handful: pytest tells how many others were
# deselected, and test-full runs them all.
test: lint
	$(MAKE) --no-print-directory salt-3006-installed TESTED="$(SALTY)"
	./lab/lab build >/dev/null
	$(BIN)/python -m chaos --seed $(CI_SEED) --runs 1 --again
	$(PYTEST) -m "not full" tests

test-full: lint versions
	./lab/lab build >/dev/null
	PILLARS=5000 $(PYTEST) tests
	$(BIN)/python -m chaos --short

versions: $(COMBINATIONS)
	@echo "== unit and functional tests passed: $^"

.SECONDEXPANSION:
$(COMBINATIONS): salt-%: $$(VENV_$$(firstword $$(subst -, ,$$*)))/.done
	@echo "== $@: $(TESTED)"
	INSTALLED=$(filter installed,$(subst -, ,$*)) $(<D)/bin/python -m pytest $(TESTED)

lint: $(VENV)/.done
	! git grep --line-number -E '^(<<<<<<<|>>>>>>>) '
	$(BIN)/ruff check salt lab tests bench chaos
	$(BIN)/ruff format --check --diff salt lab tests bench chaos
	$(BIN)/mypy
	cd lab && $(BIN)/mypy --strict metalk8s_lab
	PYTHONPATH=salt/_utils $(BIN)/lint-imports

unit: $(VENV)/.done
	$(PYTEST) tests/unit

integration: $(VENV)/.done
	./lab/lab build >/dev/null
	$(PYTEST) tests/functional tests/integration

lab: $(VENV)/.done
	$(PYTEST) tests/lab

bench: $(VENV)/.done
	./lab/lab build >/dev/null
	$(BIN)/python -m bench $(PARTS)

chaos: $(VENV)/.done
	./lab/lab build >/dev/null
	$(BIN)/python -m chaos $(if $(SEED),--seed $(SEED)) $(if $(RUNS),--runs $(RUNS)) $(MORE) $(RUN)

docs: $(VENV)/.done
	$(BIN)/sphinx-build -W -b html docs docs/_build/html

clean:
	rm -rf build dist docs/_build salt/_utils/*.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

# Made once: what it is made of is in its name. Another make, of another tree, may want the same at the same time.
$(VENV)/.done: | tests/requirements.txt
$(VENV_3006)/.done: | tests/requirements-3006.txt
$(VENV_3007)/.done: | tests/requirements-3007.txt
$(CACHE)/venv-%/.done:
	@mkdir -p $(CACHE)
	flock $(@D).lock sh -c 'test -e $@ || ./tests/setup $(@D) $|'
