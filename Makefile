# Everything sets itself up: a private .venv, made anew when setup.cfg changes, and system packages.

PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 8000
# What `make demo` has gunicorn run: gunicorn_asgi.Worker holds sockets and site in the same processes.
WORKER ?= gunicorn_asgi.SplitWorker
# What serves the demo: gunicorn or uwsgi.
SERVER ?= gunicorn
# What the benchmark or the audit is given, for instance ARGS=--quick; the table in the documentation
# is written by a run of the benchmark without any.
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PEERS := tests/benchmarks/requirements.txt
# Named after the content of what goes into it and after where it stands: a change, and nothing else,
# makes it anew.
SUM := $(shell (pwd; $(PYTHON) -V; cat setup.cfg tools/make-venv $(PEERS)) 2>&1 | cksum | cut -d' ' -f1)
STAMP := $(VENV)/made-$(SUM)
BENCH_STAMP := $(VENV)/made-bench-$(SUM)
UWSGI_VERSION := 2.0.31
UWSGI := $(VENV)/uwsgi-$(UWSGI_VERSION)/bin/uwsgi

.DEFAULT_GOAL := help
.NOTPARALLEL:
VERSION ?= 23.0.0
TESTS ?=
.PHONY: help demo demo-gunicorn demo-uwsgi test test-gunicorn test-gunicorns test-core test-patched test-servers test-uwsgi coverage lint \
        format bench conformance audit fuzz slowloris soak docs clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

$(STAMP):
	@PYTHON=$(PYTHON) tools/make-venv $(VENV) test,lint,docs $@

$(BENCH_STAMP): | $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement $(PEERS)
	@touch $@

demo: demo-$(SERVER) ## serve the demonstration site (HOST, PORT, SERVER, WORKER)

# Streams of the tide and long polls have a thread of their consumer process each.
demo-gunicorn: | $(STAMP)
	@echo "the demo is at http://$(HOST):$(PORT)/ (Ctrl-C stops it)"
	@cd docs/demo && exec $(abspath $(BIN))/gunicorn -k $(WORKER) -w 3 --threads 24 \
	    -b $(HOST):$(PORT) demo:application

demo-uwsgi: $(UWSGI) | $(STAMP)
	@echo "the demo is at http://$(HOST):$(PORT)/ (Ctrl-C stops it)"
	@cd docs/demo && exec $(abspath $(UWSGI)) --http-socket $(HOST):$(PORT) --venv $(abspath $(BIN)/..) \
	    --ini uwsgi.ini --ini "exec://$(abspath $(BIN))/python -m uwsgi_asgi.config \
	    --consumers 2 --threads 24 --http /ticker :uwsgi"

test: test-core test-patched test-servers test-gunicorns ## run all tests: plain, patched, real servers, other gunicorns

test-core: | $(STAMP)
	@tools/need redis-server
	$(BIN)/python -m pytest -n auto --dist loadfile --ignore tests/integration

# The uWSGI whose workers hand WebSockets over in the tests: compiled once, for this interpreter.
$(UWSGI): | $(STAMP)
	@PYTHON=$(BIN)/python tools/make-uwsgi uwsgi==$(UWSGI_VERSION) $(VENV)/uwsgi-$(UWSGI_VERSION)

PYUWSGI_VERSION := 2.0.30.post1
PYUWSGI := $(VENV)/pyuwsgi-$(PYUWSGI_VERSION)/bin/uwsgi
$(PYUWSGI): | $(STAMP)
	@PYTHON=$(BIN)/python tools/make-uwsgi pyuwsgi==$(PYUWSGI_VERSION) $(VENV)/pyuwsgi-$(PYUWSGI_VERSION)

UWSGIS := UWSGI=$(abspath $(UWSGI)) UWSGI_PYUWSGI=$(abspath $(PYUWSGI))

test-uwsgi: $(UWSGI) $(PYUWSGI) ## run the tests of the part for uWSGI
	@PYTHON=$(BIN)/python tools/make-uwsgi debian
	@tools/need nginx
	$(UWSGIS) $(BIN)/python -m pytest tests/uwsgi_asgi tests/integration/test_uwsgi*.py

# The core makes the same promises to greenlets as to threads. The command has a process of its own.
# Two runs at once: the processes of xdist would not be patched.
PATCHED := $(BIN)/python -m gevent.monkey --module pytest -q -p no:cacheprovider
test-patched: | $(STAMP)
	@tools/need redis-server
	@tools/side-by-side '$(PATCHED) tests/wsgi_bridge/layers' '$(PATCHED) tests/wsgi_bridge \
	    --ignore tests/wsgi_bridge/layers --ignore tests/wsgi_bridge/commands'

# The versions of gunicorn whose worker contract is the same: the oldest that is taken, and others.
OTHER_GUNICORNS := 21.2.0 23.0.0 25.0.3
BESIDE_GUNICORN := $(addprefix tests/integration/test_, http.py http_life.py life_cycle.py life_cycle_websocket.py tls.py split.py)
# Requests, streams and WebSockets of workers that come and go (TTIN, TTOU, HUP, KILL, TERM), and of a split that ends.
SMOKE := tests/integration/test_life_cycle.py -k "(come_and_go and greenlets) or (finish and split)"

# Fetched once.
$(VENV)/gunicorn-%/made: | $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target $(@D) gunicorn==$*
	@touch $@

test-gunicorn: $(VENV)/gunicorn-$(VERSION)/made ## run real servers on another gunicorn (VERSION, TESTS)
	PYTHONPATH=$(abspath $(<D)) $(BIN)/python -m pytest -q $(or $(TESTS),$(BESIDE_GUNICORN))

test-gunicorns: $(OTHER_GUNICORNS:%=$(VENV)/gunicorn-%/made) ## run a few tests of the life cycle on older gunicorns
	@for made in $^; do echo "on $$(basename $$(dirname $$made))"; \
	    PYTHONPATH=$$(realpath $$(dirname $$made)) $(BIN)/python -m pytest -q $(SMOKE) || exit 1; done

# One after another: they measure memory and time, and two browsers fill two cores.
test-servers: $(UWSGI) $(PYUWSGI) | $(STAMP)
	@PYTHON=$(BIN)/python tools/make-uwsgi debian
	@tools/need chromium chromedriver nginx
	$(UWSGIS) $(BIN)/python -m pytest tests/integration

coverage: | $(STAMP) ## measure what the unit tests cover
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest -q --ignore tests/integration
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

lint: docs ## check style, types, imports and the documentation
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_imports.py

format: | $(STAMP) ## put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(UWSGI) | $(BENCH_STAMP) ## measure against the peers and write the table (ARGS)
	@tools/need wrk redis-server
	UWSGI=$(abspath $(UWSGI)) $(BIN)/python -m tests.benchmarks $(or $(ARGS),--markdown docs/topics/benchmark-results.md)

conformance: | $(BENCH_STAMP) ## compare with the peers by the cases of Autobahn, write the table (ARGS)
	$(BIN)/python -m tests.conformance $(or $(ARGS),--markdown docs/topics/conformance.md)

audit: | $(STAMP) ## account for every message while processes are killed (ARGS)
	@tools/need redis-server
	$(BIN)/python -m tests.audit $(or $(ARGS),ipc --kill)

fuzz: | $(STAMP) ## try made-up input for a minute each (ARGS="TARGET --seconds 600")
	$(BIN)/python -m tests.fuzz $(ARGS)

slowloris: | $(STAMP) ## attack a worker with 2,000 slow clients for a minute (ARGS)
	$(BIN)/python -m tests.slowloris $(ARGS)

# It writes REPORT.md and REPORT.svg, and REPORT.log if there is something wrong.
REPORT ?= build/soak
SECONDS ?= 1800
soak: WORKER = gunicorn_asgi.Worker
soak: | $(STAMP) ## keep a site under mixed traffic for half an hour (SECONDS, WORKER, REPORT, ARGS)
	$(BIN)/python -m tests.soak --seconds $(SECONDS) --worker $(WORKER) --report $(REPORT) $(ARGS)

docs: | $(STAMP) ## build the documentation into docs/_build/html
	$(BIN)/sphinx-build -q -W --keep-going -n -b html -d docs/_build/doctrees docs docs/_build/html
	@echo "the documentation is in docs/_build/html/index.html"

clean: ## remove what was made
	rm -rf $(VENV) build dist *.egg-info docs/_build .coverage* htmlcov \
	    .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
