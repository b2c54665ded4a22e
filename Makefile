# Every verb of the project; `make` alone prints them. CI calls these, `lab ci` and `lab demo --data`.
BIN := .venv/bin
READY := .venv/installed

.DEFAULT_GOAL := help
.PHONY: help install demo up down test lint labs bench bench-quick bench-serving bench-drift bench-canary observe chaos compose-secrets compose-demo test-compose lock clean

help: ## print the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(READY) ## make .venv from the lock (PYTHON=python3.12 chooses the interpreter)
	@:

$(READY): requirements.lock pyproject.toml labs/bootstrap.sh
	@PYTHON="$(PYTHON)" sh labs/bootstrap.sh

demo: $(READY) ## run the closed loop and write the evidence report (ARGS="--keep-up")
	@$(BIN)/lab demo $(ARGS)

up: $(READY) ## start MLflow, Prefect and the scoring service
	@$(BIN)/lab up

down: $(READY) ## stop them
	@$(BIN)/lab down

test: lint ## lint, types, import contracts and tests, on up to four cores (ARGS=-n0 runs them in turn)
	@$(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile $(ARGS)

lint: $(READY) ## lint, format, types and import contracts only
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

labs: $(READY) ## prove that every lab keeps the authoring contract: fails, passes, resets, in time (ARGS="04 06" chooses)
	@$(BIN)/lab dev check $(ARGS)

bench: $(READY) ## measure what the documents claim, at length (ARGS="world ulb" chooses)
	@$(BIN)/python -m tests.bench --full $(ARGS)

bench-quick: $(READY) ## the same in minutes, on smaller draws: what CI runs
	@$(BIN)/python -m tests.bench --quick $(or $(ARGS),world handbook ulb)
	-@$(BIN)/python -m tests.bench --quick features # its goals are speeds: printed here, not judged, as CI machines are shared

observe: $(READY) ## rules and dashboards over a lab and a real Prometheus: quiet is silent, D3, D5, D11 and outages are heard
	@$(BIN)/pytest tests/observe $(ARGS)

chaos: $(READY) ## break the scoring service on purpose and count what it promised (ARGS=--nightly)
	@$(BIN)/pytest tests/chaos --numprocesses 2 $(ARGS)

bench-serving: $(READY) ## load the scoring service with wrk, beside what people use instead: 15 minutes (ARGS=--only=shadow)
	@$(BIN)/python -m tests.bench.serving --full $(ARGS)

bench-drift: $(READY) ## the report card of drift monitoring, ten seeds, a quarter of an hour (ARGS=--nightly for a hundred, "--nightly --resume" goes on)
	@$(BIN)/python -m tests.bench.drift $(or $(ARGS),--quick)

bench-canary: $(READY) ## our canary rule beside the others', 2,000 rollouts of each kind (ARGS=--nightly for 10,000, ARGS=--ci)
	@$(BIN)/python -m tests.bench.canary $(or $(ARGS),--quick)

compose-secrets: ## write .env, the stack's secrets, unless it is there
	@test -f .env && echo ".env is there already." || { umask 077; while IFS= read -r line; do case "$$line" in *=) \
		printf '%s%s\n' "$$line" "$$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')";; *) printf '%s\n' "$$line";; esac; done <.env.example >.env; \
		echo "Wrote .env with random secrets."; }

compose-demo: compose-secrets ## the closed loop on the stack in docker compose, which then stays up (docker compose down ends it)
	@docker compose up --build --detach --wait
	@docker compose run --rm lab demo

test-compose: $(READY) ## the stack from nothing: the loop on it, parts of it killed and stopped, and away with it (ARGS=--nightly)
	@$(BIN)/pytest tests/compose $(ARGS)

lock: ## resolve pyproject.toml into requirements.lock, with hashes (needs uv)
	@uv pip compile --quiet --universal --python-version 3.11 --all-extras --no-strip-extras --generate-hashes --no-annotate \
		--custom-compile-command "make lock" pyproject.toml -o requirements.lock

clean: ## stop the servers and delete the environment, the lab's folder and the caches
	@test ! -x $(BIN)/lab || $(BIN)/lab down
	@rm -rf .venv .lab .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
