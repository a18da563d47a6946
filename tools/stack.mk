# Targets of the observability stack; the main Makefile includes this file.
# PYTHON is the interpreter of the project's virtual environment.
PYTHON ?= .venv/bin/python

.PHONY: stack stack-build stack-collector-source dashboards

stack: stack-build ## Run the whole stack on loopback, without containers, until Ctrl-C
	$(PYTHON) -m tools.stack

stack-build: ## Compile the stack's programs once (Go 1.26.5 or newer, about 15 minutes)
	$(PYTHON) -m tools.build

stack-collector-source: ## Write tools/go/otelcol anew from otel-collector/builder.yaml
	cd tools/go/ocb && go build -o "$(CURDIR)/build/ocb" go.opentelemetry.io/collector/cmd/builder
	cd otel-collector && GOFLAGS=-mod=mod "$(CURDIR)/build/ocb" --config builder.yaml --skip-compilation

dashboards: ## Write grafana/dashboards/*.json anew
	$(PYTHON) -m grafana.generator
