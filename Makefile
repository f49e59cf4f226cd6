# The only vocabulary of this repository. Nothing needs to be installed first: each target
# installs what it lacks (as root) or prints the command that does (as an ordinary user).
# What a target does stands in scripts/; this file only names it.

.DEFAULT_GOAL := help
.PHONY: help demo check test test-mcp test-clients bench install clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## build pyro and watch it repair a crate with a failing test, by hand and through MCP
	@scripts/demo

check: ## formatting, lints, licences and sources of dependencies, structure of the code
	@scripts/check

test: ## everything that must pass; says what was skipped and why
	@scripts/test

test-mcp: ## the protocol's conformance suite (both eras, over HTTP) and the inspector's strict check
	@scripts/test-mcp

test-clients: ## whole stories through Claude Code, Codex and opencode, offline, with a scripted model
	@scripts/test-clients

bench: ## measure pyro beside bwrap and podman
	@scripts/bench

install: ## build pyro and put it in ~/.local/bin, or in PREFIX/bin
	@scripts/install

clean: ## remove everything that was built or cached here
	@scripts/clean
