# `make run` and `make test` set everything up on a fresh Debian-like machine with Python 3.11 or newer.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LISTEN ?= :10910
CACHE := .cache/debian
# Programs that some tests need; `make test SERVERS=` downloads none, and skips those tests where there is none.
SERVERS ?= prometheus prometheus-alertmanager postgresql chromium chromium-common fonts-dejavu-core libatomic1 \
	libfaketime curl jq
# Half of the time, tests wait: four of them keep two cores busy.
WORKERS ?= $(shell expr $$(nproc) \* 2)
VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' exporter/__init__.py)
export ONTAP_PACKAGES_EXPORTER_REVISION ?= $(shell git rev-parse --short HEAD 2>/dev/null)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help run test lint types unit bench bench-full bench-prometheus chaos chaos-full soak fuzz audit image image-test mixin rules-elsewhere \
	docs schema release release-files release-test sbom pins clean

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(VENV)/.run ## Run with config.yaml where there is one, else the demo, on http://localhost:10910
	@if [ -e config.yaml ]; then \
		exec $(BIN)/ontap-packages-exporter run --config.file=config.yaml --web.listen-address=$(LISTEN); \
	else \
		exec $(BIN)/ontap-packages-exporter demo --web.listen-address=$(LISTEN); \
	fi

test: lint types unit bench ## Everything that CI runs

lint: $(VENV)/.dev ## Style: ruff and hadolint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/hadolint Dockerfile

types: $(VENV)/.dev ## Types
	$(BIN)/mypy

unit: $(VENV)/.dev $(if $(strip $(SERVERS)),$(CACHE)/.servers) ## Tests, with real servers; SERVERS= goes without them
	@echo "Tests: about ten minutes on two cores ..."
	$(BIN)/pytest -n $(WORKERS) --dist worksteal

bench: $(VENV)/.dev ## A short run of the benchmarks; fails where a ratio is too large
	$(BIN)/python -m benchmarks.run

bench-full: $(VENV)/.dev ## All benchmarks, with up to 10,000 clusters: about twelve minutes
	$(BIN)/python -m benchmarks.run --full

bench-prometheus: $(VENV)/.dev $(CACHE)/.servers ## What 10,000 clusters cost Prometheus: dashboard and rules; about 15 minutes, 8 GB
	COST_CLUSTERS=$${COST_CLUSTERS:-10000} $(BIN)/pytest -s tests/grafana/test_cost.py

chaos: $(VENV)/.dev $(CACHE)/.servers ## About three minutes of everything going wrong while packages are deleted
	@CAMPAIGN_SEED=$${CAMPAIGN_SEED:-$$(date +%s)} CAMPAIGN_KILLS=$${CAMPAIGN_KILLS:-12} \
		$(BIN)/pytest -s tests/cleanup/test_campaign.py tests/cleanup/test_campaign_of_processes.py

chaos-full: $(VENV)/.dev $(CACHE)/.servers ## The same for more than an hour: 500 kills and 20,000 deletions, and 200 disruptions with PostgreSQL
	@CAMPAIGN_SEED=$${CAMPAIGN_SEED:-$$(date +%s)} CAMPAIGN_KILLS=$${CAMPAIGN_KILLS:-500} \
		CAMPAIGN_DELETIONS=$${CAMPAIGN_DELETIONS:-20000} CAMPAIGN_CLUSTERS=$${CAMPAIGN_CLUSTERS:-48} \
		CAMPAIGN_ROUNDS=$${CAMPAIGN_ROUNDS:-40} \
		$(BIN)/pytest -s tests/cleanup/test_campaign.py tests/cleanup/test_campaign_of_processes.py

soak: $(VENV)/.dev ## A day's polls with reloads, deletions and flapping clusters: about eight minutes
	SOAK_POLLS=$${SOAK_POLLS:-288} $(BIN)/pytest -s tests/daemon/test_soak.py

fuzz: $(VENV)/.dev ## Property tests with many more inputs than CI gives them: about a quarter of an hour
	FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-100} $(BIN)/pytest -n $(WORKERS) --timeout=1800 --hypothesis-profile=fuzz \
		tests/ontap tests/config tests/metrics tests/web/test_accept.py tests/web/auth/test_rate_limit.py \
		tests/web/auth/test_hostile_web_files.py tests/web/test_openapi.py \
		tests/cleanup/test_policy.py tests/cleanup/test_schedule.py tests/cleanup/test_lifecycle.py \
		tests/cleanup/journal/test_machine.py tests/polling/test_due_times.py tests/app/test_sharding.py \
		tests/simulator/test_listing_api.py tests/web/pages/test_escaping.py

audit: $(VENV)/.release ## Look up known vulnerabilities of the pinned dependencies (asks PyPI)
	$(BIN)/pip-audit --require-hashes --disable-pip -r requirements/demo.txt

image: ## Build the container image with Docker
	docker build --build-arg REVISION=$(ONTAP_PACKAGES_EXPORTER_REVISION) --build-arg VERSION=$(VERSION) \
		--build-arg CREATED=$$(date -u +%Y-%m-%dT%H:%M:%SZ) -t ontap-packages-exporter .

image-test: $(VENV)/.dev ## Build the image from Debian alone, run it, and try it: about five minutes, needs root
	$(BIN)/pytest -s -m image tests/deploy

release: $(VENV)/.release release-files ## Build wheel, sdist and chart in dist
	rm -rf dist
	epoch=$$(git log -1 --format=%ct 2>/dev/null); \
		env $${epoch:+SOURCE_DATE_EPOCH=$$epoch} $(BIN)/python -m build --no-isolation
	$(BIN)/python -c 'import helm_python; print(helm_python.package("deploy/helm/ontap-packages-exporter", destination="dist"))'

release-files: $(VENV)/.release ## Write the chart's README, shell completion and the man page anew
	$(BIN)/python deploy/release_files.py

release-test: $(VENV)/.release ## Install wheel and sdist into clean environments and run the demo there
	$(BIN)/pytest -s -m release tests/deploy

# The version of the program is not in pyproject.toml itself.
sbom: $(VENV)/.release ## List what the image installs as CycloneDX in dist/sbom.json
	mkdir -p build dist
	sed 's/^dynamic = .*/version = "$(VERSION)"/' pyproject.toml > build/pyproject.toml
	$(BIN)/cyclonedx-py requirements --pyproject build/pyproject.toml --output-reproducible \
		--output-file dist/sbom.json requirements/demo.txt

mixin: $(VENV)/.dev ## Write the alert rules and dashboards anew from grafana/mixin.yaml and their code
	PYTHONPATH=grafana $(BIN)/python -m ontap_mixin

schema: $(VENV)/.dev ## Write the JSON Schema of the configuration anew from its models and docs/configuration.md
	$(BIN)/python deploy/config_schema.py

# Zensical keeps a folder .cache beside its configuration, so it works on a copy.
docs: $(VENV)/.docs ## Build the site of the documentation in site; a broken link fails
	@rm -rf build/docs site && mkdir -p build/docs && cp -r docs zensical.toml build/docs
	@cd build/docs && $(CURDIR)/$(BIN)/zensical build --strict
	@mv build/docs/site site
	@echo "Open site/index.html; for its search: $(BIN)/python -m http.server --directory site"

rules-elsewhere: ## Run the rule tests with another promtool (PROMTOOL=) and with vmalert-tool (VMALERT_TOOL=)
	PROMTOOL="$(PROMTOOL)" VMALERT_TOOL="$(VMALERT_TOOL)" .ci/rules-elsewhere

pins: ## Pin the dependencies anew (needs uv)
	requirements/compile.sh --upgrade

clean: ## Remove what the targets made
	rm -rf $(VENV) .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist site

$(VENV)/bin/pip:
	@echo "Making a virtual environment in $(VENV) ..."
	@.ci/make-venv "$(PYTHON)" $(VENV) $(CACHE)

$(VENV)/.run: $(VENV)/bin/pip requirements/demo.txt requirements/build.txt pyproject.toml
	@echo "Installing the exporter and the libraries that it needs in $(VENV): about half a minute ..."
	@$(BIN)/pip install --quiet --require-hashes -r requirements/demo.txt -r requirements/build.txt
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/bin/pip requirements/dev.txt pyproject.toml
	@echo "Installing the exporter and what its tests need in $(VENV): about a minute ..."
	@$(BIN)/pip install --quiet --require-hashes -r requirements/dev.txt
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@ $(VENV)/.run

$(VENV)/.docs: $(VENV)/bin/pip requirements/docs.txt
	@$(BIN)/pip install --quiet --require-hashes -r requirements/docs.txt
	@touch $@

$(VENV)/.release: $(VENV)/.dev requirements/release.txt
	@$(BIN)/pip install --quiet --require-hashes -r requirements/release.txt
	@touch $@

# Without them, their tests are skipped, which .ci/run takes for a failure.
$(CACHE)/.servers: .ci/unpack-debian-packages
	@echo "Unpacking what is not installed of $(SERVERS) in $(CACHE): up to 200 MB to download, about a minute."
	@echo "Nothing is installed on this system, started or enabled ..."
	@if .ci/unpack-debian-packages $(CACHE) $(SERVERS); then touch $@; \
		else echo "The tests that need them will be skipped."; fi
