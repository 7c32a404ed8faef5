# make demo   from nothing to the architecture of the page "Cluster expansion" on real nodes of this machine
# make test   lint, unit, functional and integration tests, and one end-to-end on real nodes
# make bench  measurements beside peers, with limits; one part: make bench PARTS=api
# make chaos  faults at every boundary and at random moments of expansions; hours, goes on where it was stopped:
#             SEED=4711 RUNS=1 a random run, RUN=promoted+master-killed one of the others, MORE="--short" and other options
# make docs   the documentation as HTML

SHELL := /bin/sh
CACHE := $(or $(METALK8S_LAB_CACHE),/var/cache/metalk8s-expand-lab)
# The virtual environment is named after what it is made of, so a change makes a new one.
VENV := $(CACHE)/venv-$(shell cat tests/requirements.txt tests/setup 2>/dev/null | sha256sum | cut -c1-12)
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest
# The bootstrap node, with master, runner and the only member of etcd, loses its power during the deployment.
CI_SEED := 70

.PHONY: demo test test-full lint unit integration lab bench chaos docs clean

demo:
	@command -v python3 >/dev/null || { apt-get update -qq && apt-get install -y -qq python3; }
	./lab/lab up
	./lab/lab exec bootstrap -- salt-run metalk8s_expand.plan
	./lab/lab exec bootstrap -- salt-run metalk8s_expand.expand probe=True
	./lab/lab exec bootstrap -- kubectl get nodes --output=wide
	./lab/lab exec bootstrap -- salt-run metalk8s_expand.health

# One run of pytest over everything, so that its closing line counts every test. Of tests that are many of one kind, a
# handful: pytest tells how many others were deselected, and test-full runs them all.
test: lint
	./lab/lab build >/dev/null
	$(BIN)/python -m chaos --seed $(CI_SEED) --runs 1 --again
	$(PYTEST) -m "not full" tests

test-full: lint
	./lab/lab build >/dev/null
	PILLARS=5000 $(PYTEST) tests
	$(BIN)/python -m chaos --short

lint: $(VENV)/.done
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

$(VENV)/.done: tests/requirements.txt tests/setup
	./tests/setup $(VENV)
