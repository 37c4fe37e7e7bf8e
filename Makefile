.DEFAULT_GOAL := help
.PHONY: help demo test check dev bench proof build

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

demo: ## try it: everything in one process, with an example to play with
	scripts/demo

test: ## all tests, as CI runs them
	scripts/test

check: ## format, vet, import table
	scripts/check

dev: ## every process apart, on PostgreSQL and Redis (foreman)
	scripts/dev

bench: ## measure the road beside the raw asynq chain
	scripts/bench road

proof: ## all tests, then the long proof: kills, flushes, lost replies
	scripts/test
	scripts/chaos
	scripts/kills

build: ## bin/tidings
	scripts/build
