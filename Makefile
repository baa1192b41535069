# Each target does its own setup, once. A new machine needs only make and Python 3.11 or newer (with
# venv).

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Tests start hundreds of processes. Without bytecode, each would compile the package again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test test-all test-lowest test-load soak tour lint docs bench sabotage schemas dist lock clean

help: ## list these targets
	@awk -F ': .*## ' '/^[a-z-]+: .*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/installed ## try the wizard against a simulated Zoho
	@$(BIN)/zoho-wizard demo

tour: $(VENV)/browser ## run the whole product in a real browser; takes the README's screenshots
	@PYTHONPATH=tests $(BIN)/python -m tour --pictures static/pictures

# Four workers on two cores: tests often wait for a browser or another process. With worksteal, the
# last minutes don't belong to one worker.
SPREAD := -n 4 --dist worksteal

test: $(VENV)/browser ## run the tests
	$(BIN)/python -m pytest $(SPREAD) $(PYTEST_OPTIONS)

test-all: $(VENV)/browser ## run all tests, including the slow ones
	$(BIN)/python -m pytest $(SPREAD) $(PYTEST_OPTIONS) -m "not alone"
	$(BIN)/python -m pytest $(PYTEST_OPTIONS) -m alone

LOWEST := .cache/lowest

test-lowest: ## run the tests with the lowest versions that pyproject.toml allows; on Python 3.11
	$(MAKE) VENV=$(LOWEST) $(LOWEST)/browser
	$(LOWEST)/bin/python -m pip install --quiet --require-hashes --requirement requirements/lowest.txt
	$(LOWEST)/bin/python -m pytest $(SPREAD) $(PYTEST_OPTIONS)

test-load: $(VENV)/browser ## run the tests that once failed by chance thirty times on a busy machine
	$(BIN)/python .ci/test-load

soak: $(VENV)/tests ## simulate months of use with kills and outages; takes about ten minutes
	@PYTHONPATH=tests $(BIN)/python -m soak $(SOAK_OPTIONS)

lint: $(VENV)/lint ## check style, types and vocabulary
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python .ci/vocabulary
	$(BIN)/hadolint Containerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docs/guides/compose.yaml
	$(BIN)/zizmor --offline --quiet .github
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-forms \
		.github/ISSUE_TEMPLATE/problem.yml .github/ISSUE_TEMPLATE/comparison.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml

docs: $(VENV)/docs ## build the documentation into build/docs/
	$(BIN)/python -m sphinx --fail-on-warning --quiet docs build/docs
	@echo "Open build/docs/index.html"

bench: $(VENV)/browser ## measure what users wait for, as ratios; takes about eight minutes
	@PYTHONPATH=tests $(BIN)/python -m bench

sabotage: $(VENV)/browser ## remove one defense after the other; the tests must notice each
	@PYTHONPATH=tests $(BIN)/python -m sabotage $(SABOTAGE_OPTIONS)

schemas: $(VENV)/tests ## write wizard/schemas/ from the types of wizard/cli/results/
	$(BIN)/python .ci/schemas

dist: $(VENV)/lint ## build the source distribution and the wheel into dist/
	$(BIN)/python -m build --no-isolation

COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --upgrade

lock: $(VENV)/build ## update requirements/ to the newest versions, with hashes
	$(BIN)/python -m pip install --quiet --group lock
	$(COMPILE) --group build --output-file requirements/build.txt
	$(COMPILE) pyproject.toml --extra assist --extra postgresql --constraint requirements/build.txt --output-file requirements/install.txt
	$(COMPILE) pyproject.toml --extra postgresql --constraint requirements/install.txt --output-file requirements/server.txt
	$(COMPILE) pyproject.toml --extra assist --extra postgresql --resolution lowest-direct --output-file requirements/lowest.txt
	$(COMPILE) --group test --constraint requirements/install.txt --output-file requirements/test.txt
	$(COMPILE) --group lint --constraint requirements/install.txt --constraint requirements/test.txt --output-file requirements/lint.txt
	$(COMPILE) --group docs --constraint requirements/install.txt --constraint requirements/test.txt --constraint requirements/lint.txt --output-file requirements/docs.txt
	for name in zoho-sdk zoho-sdk-7 zoho-sdk-6 zoho-sdk-2-1 requests-oauthlib zoho-crm-connector \
	  zoho-analytics-connector zohopy mcp-servers django-allauth airbyte-source-zoho-crm rclone kubectl; do \
	  $(COMPILE) --group $$name --output-file requirements/third-party/$$name.txt || exit 1; done
	for folder in requirements/third-party/*/; do \
	  npm update --package-lock-only --omit-lockfile-registry-resolved --prefix $$folder || exit 1; done

clean: ## remove everything that make created
	rm -rf $(VENV) .cache dist build test-results .mypy_cache .pytest_cache .ruff_cache .hypothesis

# The stamps say what is installed; a newer pyproject.toml or requirements file installs again.
# Exact versions with hashes come from requirements/, written by `make lock`.
INSTALL := $(BIN)/python -m pip install --quiet --require-hashes --requirement

$(VENV)/build: requirements/build.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Python 3.11 or newer is needed, and $(PYTHON) is not: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; \
	  exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
	  rm -rf $(VENV); \
	  echo "Python's venv is missing. On Debian and Ubuntu: apt install python3-venv" >&2; \
	  exit 1; }
	@echo "Setting up in $(VENV); the first time this takes about a minute."
	@$(INSTALL) requirements/build.txt
	@touch $@

$(VENV)/installed: $(VENV)/build pyproject.toml requirements/install.txt
	$(INSTALL) requirements/install.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/tests: $(VENV)/installed requirements/test.txt
	$(INSTALL) requirements/test.txt
	@touch $@

$(VENV)/lint: $(VENV)/tests requirements/lint.txt
	$(INSTALL) requirements/lint.txt
	@touch $@

$(VENV)/docs: $(VENV)/installed requirements/docs.txt
	$(INSTALL) requirements/docs.txt
	@touch $@

$(VENV)/browser: $(VENV)/tests .ci/browser
	.ci/browser $(BIN)/python
	@touch $@
