# Everything a person runs, from a bare clone: `make demo` and `make test` work as the very first command.
# Needs Python >= 3.11 (with venv) and the package registries; installs nothing outside this folder.

export XDG_CACHE_HOME := $(CURDIR)/.cache
export npm_config_cache := $(CURDIR)/.cache/npm
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export UV_PYTHON_DOWNLOADS := never
export UV_LINK_MODE := copy

UV := $(shell command -v uv || echo .tools/bin/uv)
RUN := $(UV) run --quiet

.PHONY: help demo test check lint types arrows format bench clean

help: ## list these commands
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(UV) ## run a real C extension on real weather data, and draw card.png
	@$(RUN) --no-default-groups desk demo --card card.png

test: $(UV) ## all tests; those that need a compiler for guests skip without one, and say what installs it
	@$(RUN) pytest -q $(ARGS)

check: lint types arrows ## ruff, pyright (strict), import-linter

lint: $(UV)
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .

types: $(UV)
	@$(RUN) pyright --warnings

arrows: $(UV)
	@$(RUN) lint-imports

format: $(UV) ## let ruff rewrite what it can
	@$(RUN) ruff check --fix .
	@$(RUN) ruff format .

bench: $(UV) ## speed beside Extism and wasmtime-py, as ratios within one run
	@$(RUN) --group bench python -m benchmarks $(ARGS)

clean: ## remove what these commands made
	rm -rf .venv .tools .cache build *.egg-info card.png

.tools/bin/uv:
	@echo "installing uv into .tools ..."
	@python3 -m venv .tools || { echo "python3 has no venv module; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@.tools/bin/python -m pip install --quiet uv
