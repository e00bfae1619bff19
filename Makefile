# Thin over `python -m hierlearn`, so that everything also works without make: see README.md.
PYTHON ?= python3
PROFILE ?= laptop
DEVICE ?= cuda
SECONDS ?= 300
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
LOCK := $(VENV).lock
RUN := $(BIN)/python -m hierlearn
# Tests start a hundred processes, each of which would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: book check test faults site pdf run paper gpu claims status freeze links lint clean help

help:  ## show the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10
	@echo "Profiles: PROFILE=smoke, laptop (the default) or paper."

# What the stamp must say: where, and of which requirements. Times do not tell: a folder is copied
# with its environment, which still runs the code of the other one, and clocks go wrong.
HERE := $(CURDIR) $(shell cat requirements.lock pyproject.toml | cksum)
THERE := $(shell cat $(STAMP) 2>/dev/null)
# The shell reads them as variables: there may be quotes and dollars in the name of a folder.
FOLDER := $(CURDIR)
export HERE THERE FOLDER
ifneq ($(HERE),$(THERE))
.PHONY: $(STAMP)
endif

$(STAMP):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is older than Python 3.11; say which one to use: make PYTHON=python3.12"; exit 2; }
	@[ -w . ] || { echo "$$FOLDER cannot be written: make needs a checkout of your own"; exit 2; }
	@told=; until ln -s $$$$ $(LOCK) 2>/dev/null; do \
	  if ln -s $$$$ $(LOCK).stale 2>/dev/null; then : "one at a time: whose owner is dead"; \
	    held=$$(readlink $(LOCK)) && ! kill -0 "$$held" 2>/dev/null && rm -f $(LOCK); \
	    rm -f $(LOCK).stale; [ -L $(LOCK) ] || continue; \
	  else held=$$(readlink $(LOCK).stale) && ! kill -0 "$$held" 2>/dev/null && rm -f $(LOCK).stale; fi; \
	  [ -n "$$told" ] || echo "another make installs here ($(LOCK)): waiting"; told=1; sleep 1; done; \
	trap 'rm -f $(LOCK)' EXIT; trap 'exit 130' INT TERM; \
	[ "$$(cat $@ 2>/dev/null)" != "$$HERE" ] || exit 0; \
	echo "Installing what requirements.lock lists into $(VENV) (once)"; set -ex; \
	case "$$THERE" in "" | "$$FOLDER "*) ;; *) rm -rf $(VENV) ;; esac; \
	$(PYTHON) -m venv $(VENV); \
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements.lock; \
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation -e .; \
	printf '%s\n' "$$HERE" > $@

book: $(STAMP)  ## compute what is missing on this machine, execute all chapters, build the site
	-@$(RUN) data fetch --profile $(PROFILE)
	$(RUN) book --profile $(PROFILE)

test: $(STAMP)  ## run all tests
	$(BIN)/python -m pytest -n 2 --dist loadgroup --no-loadscope-reorder

check: lint  ## style, types, which way imports go, and the fast tests: a minute
	$(BIN)/python -m pytest -q -n 2 -m "not slow and not book"

faults: $(STAMP)  ## kill, fill and damage what can be; minutes, prints its counts
	PYTHONPATH=tests $(BIN)/python -m faults

site: $(STAMP)  ## build the site from the committed records, computing nothing
	$(RUN) book --frozen

pdf: $(STAMP)  ## print the finished site as one PDF, with Chromium
	$(RUN) pdf

run: $(STAMP)  ## execute all chapters
	$(RUN) run --profile $(PROFILE)

paper: $(STAMP)  ## compute and execute the paper profile on one GPU; CHAPTER=4: only that one
	-@$(RUN) data fetch --profile paper
	$(RUN) run $(CHAPTER) --profile paper --device $(DEVICE)

gpu: $(STAMP)  ## with a GPU: CUDA against the CPU, the benchmark, and in SECONDS=300 what fits of the paper profile
	-@$(RUN) data fetch --profile paper
	PYTHON=$(BIN)/python benchmarks/gpu.sh $(SECONDS)

claims: $(STAMP)  ## show every claim and its verdict
	$(RUN) claims --profile $(PROFILE)

status: $(STAMP)  ## show which records exist and what the others will cost
	$(RUN) status --profile $(PROFILE)

freeze: $(STAMP)  ## copy the working records of a profile into book/records
	$(RUN) freeze --profile $(PROFILE)

links: site  ## check that what the site links to elsewhere still exists (needs the network)
	$(BIN)/jupyter-book build _build/stage --path-output _build/links --all --builder linkcheck

lint: $(STAMP)  ## check style, types and which way imports go
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:  ## remove what was built; computed records stay (they are in _build/records)
	rm -rf _build/stage _build/html _build/.doctrees _build/run.json
