# make demo       from nothing to the architecture of the page "Cluster expansion" on real nodes of this machine
# make check      lint, types and unit tests with coverage: two minutes, for every change
# make test       all that CI runs: check, functional and integration tests, one other Salt, and real nodes
# make test-full  everything, also what is many of a kind: hours
# make browser    the page of a run in Chromium, with axe-core; PICTURES=DIRECTORY keeps pictures
# make versions   unit and functional tests on every Salt, synced and installed; one of them: make salt-3006-installed
# make bench      measurements beside peers, with limits; one part: make bench PARTS=api; whole expansions: PARTS=expansion
# make chaos      faults at every boundary and at random moments of expansions; hours, and a stopped run is resumed:
#                 SEED=4711 RUNS=1 for a random run, RUN=promoted+master-killed for another, MORE="--short" for options
# make docs       the documentation as HTML, with its links and its spelling checked
# make bundle     dist/metalk8s-expand-VERSION.tar.gz and its SHA-256; on a MetalK8s bootstrap host: tar xf, then ./install
# make release    dist/VERSION: wheel, bundle, checksums, SBOM and notes of the commit; docs/contributing/release.rst

SHELL := /bin/sh
CACHE := $(or $(METALK8S_LAB_CACHE),/var/cache/metalk8s-expand-lab)
# The name of a virtual environment holds the hash of what it is made of, so a change makes a new one.
venv = $(CACHE)/venv-$(shell cat $(1) tests/setup 2>/dev/null | sha256sum | cut -c1-12)
VENV := $(call venv,tests/requirements.txt)
VENV_3006 := $(call venv,tests/requirements-3006.txt)
VENV_3007 := $(call venv,tests/requirements-3007.txt)
VENV_DOCS := $(call venv,docs/requirements.txt)
VENV_RELEASE := $(call venv,release/requirements.txt)
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest
# Most of a unit test's time is waiting, so more workers than cores pay.
PARALLEL := --numprocesses 4
COVERAGE := --cov=metalk8s_expand --cov-branch --cov-report=
# The bootstrap node, with master, runner and the only etcd member, loses power during a deployment.
CI_SEED := 70
# The tests of one Salt. `make test` runs, on one other Salt, those where versions of Salt differ.
TESTS := tests/functional tests/unit/metalk8s_expand
TREE := tests/functional/test_metalk8s_tree.py
OTHER_SALT_TESTS := -m 'not full' $(filter-out $(TREE),$(wildcard tests/functional/test_*.py)) $(TREE)::TestChain \
	tests/unit/metalk8s_expand/clients tests/unit/metalk8s_expand/test_boundary.py

.PHONY: demo check test on-nodes without-nodes test-full versions lint lint-style lint-types lint-imports lint-prose \
	unit functional integration other-salt \
	lab chaos-one browser chromium \
	salt-3006-synced salt-3006-installed salt-3007-synced salt-3007-installed salt-3008-synced salt-3008-installed \
	bench chaos docs bundle release clean

demo:
	@command -v python3 >/dev/null || { apt-get update -qq && apt-get install -y -qq python3; }
	./lab/lab up
	./lab/lab exec bootstrap -- salt-run metalk8s_expand.plan
	./lab/lab exec bootstrap -- salt-run metalk8s_expand.expand probe=True
	./lab/lab exec bootstrap -- kubectl get nodes --output=wide
	./lab/lab exec bootstrap -- salt-run metalk8s_expand.health

check: lint unit

# Two lanes at the same time, since both wait most of the time: what needs real nodes, and what does not. The output of
# each target comes when the target has ended. Of tests that are many of a kind, a handful runs here: pytest says how
# many others it deselected, and test-full runs them all.
test: lint
	./lab/lab build >/dev/null
	$(MAKE) --no-print-directory --jobs=2 --output-sync=target on-nodes without-nodes

on-nodes:
	$(MAKE) --no-print-directory chaos-one
	$(MAKE) --no-print-directory lab

# Not at the same time: the functional tests start orchestrations, which unit tests would see as other operations.
without-nodes:
	$(MAKE) --no-print-directory unit
	$(MAKE) --no-print-directory docs
	$(MAKE) --no-print-directory other-salt
	$(MAKE) --no-print-directory functional
	$(MAKE) --no-print-directory integration

test-full: lint unit versions chromium
	./lab/lab build >/dev/null
	PILLARS=5000 $(PYTEST) tests
	$(BIN)/python -m chaos --short

# The steps are independent, and each uses one core.
lint: $(VENV)/.done
	$(MAKE) --no-print-directory --jobs=2 --output-sync=target lint-prose lint-types lint-style lint-imports

lint-style:
	! git grep --line-number -E '^(<<<<<<<|>>>>>>>) '
	$(BIN)/ruff check salt lab tests bench chaos bundle release docs
	$(BIN)/ruff format --check --diff salt lab tests bench chaos bundle release docs

lint-types:
	$(BIN)/mypy

lint-imports:
	PYTHONPATH=salt/_utils:lab $(BIN)/lint-imports

lint-prose:
	$(BIN)/python -m tests.house.prose

# The tests of a release run `make release`.
unit: $(VENV)/.done $(VENV_RELEASE)/.done
	$(PYTEST) $(PARALLEL) $(COVERAGE) tests/unit tests/house
	$(BIN)/coverage report --format=total --fail-under=90
	$(BIN)/coverage report --format=total --fail-under=98 --include='*/domain/*'

functional: $(VENV)/.done
	./tests/machine
	$(PYTEST) -m "not full" tests/functional

integration: $(VENV)/.done
	./tests/machine
	./lab/lab build >/dev/null
	$(PYTEST) -m "not full" tests/integration

other-salt:
	$(MAKE) --no-print-directory salt-3006-installed TESTS="$(OTHER_SALT_TESTS)"

chaos-one: $(VENV)/.done
	./lab/lab build >/dev/null
	$(BIN)/python -m chaos --seed $(CI_SEED) --runs 1 --again

lab: $(VENV)/.done
	$(PYTEST) -m "not full" tests/lab

browser: $(VENV)/.done chromium
	$(PYTEST) tests/browser

chromium:
	@command -v chromium >/dev/null || { apt-get update -qq && apt-get install -y -qq chromium; }
	@command -v npm >/dev/null || { apt-get update -qq && apt-get install -y -qq npm; }

versions: salt-3006-synced salt-3006-installed salt-3007-synced salt-3007-installed salt-3008-synced salt-3008-installed
	@echo "== unit and functional tests passed: $^"

salt-3006-synced: $(VENV_3006)/.done
	$(VENV_3006)/bin/python -m pytest $(TESTS)

salt-3006-installed: $(VENV_3006)/.done
	INSTALLED=installed $(VENV_3006)/bin/python -m pytest $(TESTS)

salt-3007-synced: $(VENV_3007)/.done
	$(VENV_3007)/bin/python -m pytest $(TESTS)

salt-3007-installed: $(VENV_3007)/.done
	INSTALLED=installed $(VENV_3007)/bin/python -m pytest $(TESTS)

salt-3008-synced: $(VENV)/.done
	$(VENV)/bin/python -m pytest $(TESTS)

salt-3008-installed: $(VENV)/.done
	INSTALLED=installed $(VENV)/bin/python -m pytest $(TESTS)

bench: $(VENV)/.done
	./lab/lab build >/dev/null
	$(BIN)/python -m bench $(PARTS)

chaos: $(VENV)/.done
	./lab/lab build >/dev/null
	$(BIN)/python -m chaos $(if $(SEED),--seed $(SEED)) $(if $(RUNS),--runs $(RUNS)) $(MORE) $(RUN)

docs: $(VENV_DOCS)/.done
	$(VENV_DOCS)/bin/sphinx-build --fail-on-warning --nitpicky --fresh-env --quiet -b html docs docs/_build/html
	$(VENV_DOCS)/bin/python docs/spelling.py
	git ls-files docs '*.md' pillar salt bundle release lab/metalk8s_lab | xargs $(VENV_DOCS)/bin/codespell
	@echo docs/_build/html/index.html

# No environment: what an operator's machine has is enough.
bundle:
	@python3 bundle/build.py

release: $(VENV_RELEASE)/.done
	@$(VENV_RELEASE)/bin/python -m release

clean:
	rm -rf build dist docs/_build salt/_utils/*.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage

# Another make, of another tree, may want the same environment at the same time: the lock lets one of them make it.
$(VENV)/.done: | tests/requirements.txt
$(VENV_3006)/.done: | tests/requirements-3006.txt
$(VENV_3007)/.done: | tests/requirements-3007.txt
$(VENV_DOCS)/.done: | docs/requirements.txt
$(VENV_RELEASE)/.done: | release/requirements.txt
$(CACHE)/venv-%/.done:
	@mkdir -p $(CACHE)
	flock $(@D).lock sh -c 'test -e $@ || ./tests/setup $(@D) $|'
