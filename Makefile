# Each target sets up .venv by itself; once that is done, none of them needs a network.
#
#   make demo    reconstruct the bundled examples and write the pictures and reports
#   make test    formatting, lint, types and tests
#   make bench   print the tables of benchmarks/
#   make bench-mosaic   size, seconds, Mpx/s and peak memory of images larger than memory
#   make train   train CARDS for MINUTES each, on DEVICE, in RUNS; the same command goes on
#   make clean   remove what tools and runs have written (.venv stays)

SHELL := /bin/bash
BIN := .venv/bin
STAMP := .venv/.installed
CANDIDATES := $(PYTHON) python3 python3.13 python3.12 python3.11 python3.14

.PHONY: demo test bench bench-mosaic train clean

demo: $(STAMP)
	$(BIN)/rimaging demo

test: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile

bench: $(STAMP)
	@status=0; \
	for table in benchmarks/*.py; do echo "== $$table"; $(BIN)/python $$table || status=1; done; \
	exit $$status

bench-mosaic: $(STAMP)
	$(BIN)/python benchmarks/mosaic.py

CARDS := gray-denoise mri-cartesian sky-psf image-any
RUNS := runs
MINUTES := 60

# Stopped by SIGTERM a training saves itself and says 143; timeout then says 124.
train: $(STAMP)
	@for card in $(CARDS); do \
	  echo "== $$card"; \
	  timeout --signal=TERM --kill-after=60 $(MINUTES)m \
	    $(BIN)/rimaging train operators/$$card.toml --out $(RUNS)/$$card \
	    $(if $(DEVICE),--device $(DEVICE)); \
	  status=$$?; case $$status in 0|124|143) ;; *) exit $$status;; esac; \
	done

clean:
	rm -rf build dist rimaging-demo .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find rimaging tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# Written last: an interrupted installation is started again.
$(STAMP): pyproject.toml constraints.txt
	@if [ ! -x $(BIN)/python ]; then \
	  for python in $(CANDIDATES); do \
	    if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then break; fi; \
	    python=; \
	  done; \
	  if [ -z "$$python" ]; then \
	    echo "rimaging needs Python 3.11 or newer, and found $$(python3 --version 2>&1 || echo none):" \
	         "install one, or name it: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; \
	    exit 1; \
	  fi; \
	  echo "Setting up .venv with $$($$python --version)"; \
	  $$python -m venv .venv; \
	fi
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,astro,nufft,twix,simulation]'
	@touch $@
