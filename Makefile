# The two commands of the README, each doing its own set-up on a fresh Debian machine, and shorthands for development.
SHELL := /bin/bash

.PHONY: demo test build asan lint bench docs

# Installs what is missing, builds, and runs a real container.
demo: build
	tools/demo

# Installs what is missing, builds, and runs every test.
test: build
	tools/dev test

build:
	tools/install-packages
	tools/dev build

asan:
	tools/install-packages
	tools/dev asan

lint:
	tools/dev lint

bench: build
	tools/dev bench

docs: build
	tools/dev docs
