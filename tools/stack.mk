# Targets of the observability stack. The main Makefile includes this file; VENV and BIN are its.

.PHONY: stack stack-build stack-packages stack-collector-source dashboards

stack: $(VENV)/.runtime stack-build ## Run the whole stack on loopback, without containers, until Ctrl-C
	$(BIN)/python -m tools.stack

stack-build: $(VENV)/.uv ## Compile the stack's programs once (Go 1.26.5 or newer, 15 to 25 minutes)
	$(BIN)/python -m tools.build

stack-packages: ## Install the Debian packages that the stack and its tests run (as root)
	@missing=$$(for package in $$(grep -v '^#' tools/apt.txt); do \
		dpkg -s $$package >/dev/null 2>&1 || echo $$package; done); \
	if [ -n "$$missing" ]; then \
		echo "mgeo: installing" $$missing; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
			apt-get install -y -qq --no-install-recommends $$missing; \
	fi

stack-collector-source: ## Write tools/go/otelcol anew from otel-collector/builder.yaml
	cd tools/go/ocb && go build -o "$(CURDIR)/build/ocb" go.opentelemetry.io/collector/cmd/builder
	cd otel-collector && GOFLAGS=-mod=mod "$(CURDIR)/build/ocb" --config builder.yaml --skip-compilation

dashboards: $(VENV)/.development ## Write grafana/dashboards/*.json anew
	$(BIN)/python -m grafana.generator
