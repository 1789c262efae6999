PYTHON ?= python3
IN_HOST = $(PYTHON) scripts/environment/prepare.py
# In two processes, each file in one of them. Those that start servers come last, and of these the browser's: it draws as long as it is open.
PYTEST = $(IN_HOST) -m pytest
IN_TWO = -n 2 --dist loadfile

SERVERS = tests/server tests/fleet tests/publish tests/browser

.PHONY: demo test test-long test-fast test-browser static train train-scenes measure-scenes distil measure exactness quality curves solvers bench bench-fleet figures tune pictures locale workflows screenshots artwork archive hold hero

demo:   ## edit a shipped picture in the real ComfyUI; results under output/
	$(IN_HOST) scripts/demo.py

static: ## what can be checked without running anything: ruff, and the types of ledits/ (strict) and nodes/
	$(IN_HOST) -m ruff check .
	$(IN_HOST) scripts/check_types.py

test-fast: static ## the inner loop: the method, the oracle and the nodes, without other packs' nodes, families, quality and servers
	$(PYTEST) $(IN_TWO) tests/unit tests/scripts tests/oracle tests/host --ignore tests/host/mixing $(ARGS)

test: static ## every test that needs no GPU, but the long ones; make test ARGS="-k mask" for some of them
ifdef ARGS
	$(PYTEST) tests $(ARGS)
else
	$(PYTEST) $(IN_TWO) -m "not long" tests $(addprefix --ignore ,$(SERVERS) tests/host/mixing)
	$(PYTEST) $(IN_TWO) -m "not long" $(SERVERS)
endif

test-long: ## the long ones: other packs' nodes, fleets that lose workers, hundreds of edits, a server's options; and the oldest ComfyUI
	$(PYTEST) $(IN_TWO) tests/host/mixing
	$(PYTEST) $(IN_TWO) -m long tests --ignore tests/host/mixing
	LEDITS_HOST=oldest $(PYTEST) $(IN_TWO) tests/host tests/server

test-browser: ## ComfyUI's page in a headless Chromium (apt-get install chromium chromium-driver fonts-wqy-zenhei); screenshots under output/screenshots/
	$(IN_HOST) -m pytest tests/browser $(ARGS)

train:  ## train the small model: make train ARGS="--work DIR" (minutes on a GPU, hours on a CPU; resumes where it stopped)
	$(IN_HOST) scripts/small_model/train.py $(ARGS)

train-scenes: ## train the checkpoint of the scenes: make train-scenes ARGS="--work DIR" (minutes on a GPU; resumes where it stopped)
	$(IN_HOST) scripts/scenes/train.py $(ARGS)

measure-scenes: ## score the checkpoint of the scenes with the classifier and draw its contact sheets under output/scenes
	$(IN_HOST) scripts/scenes/measure.py $(ARGS)

distil:  ## distil the small model to 4 steps: make distil ARGS="--work DIR" (resumes where it stopped)
	$(IN_HOST) scripts/small_model/distil.py $(ARGS)

measure: ## score the small model and draw its contact sheets under output/; ARGS="--network transformer" or few-steps for those
	$(IN_HOST) scripts/small_model/measure.py $(ARGS)

quality: ## score masks and edits beside diffusers'; resumes; QUICK=1 for a few of each kind; ARGS="--subject transformer" or scenes
	$(IN_HOST) benchmarks/quality/run.py $(if $(QUICK),--quick) $(ARGS)

curves: ## success against background over the strength of the edit; resumes; ARGS="--subject transformer"; scenes by default
	$(IN_HOST) benchmarks/quality/curves.py $(ARGS)

solvers: ## score each solver's edits in 4 and 8 steps; resumes; writes benchmarks/results/solvers.json and a table
	$(IN_HOST) benchmarks/solvers.py $(ARGS)

bench:  ## speed and memory beside diffusers' and the bare network calls; resumes; make bench QUICK=1 for less of everything
	$(IN_HOST) benchmarks/speed/run.py $(if $(QUICK),--quick) $(ARGS)

bench-fleet: ## photos an hour beside a plain loop, what Ray adds to each, and memory; writes benchmarks/results/fleet.json
	$(IN_HOST) -m benchmarks.fleet $(ARGS)

figures: ## fill the figures in README.md and docs/ from the measured results; make figures ARGS=--check says what differs
	$(PYTHON) scripts/figures.py $(ARGS)

tune:   ## find the settings that quality uses, on pictures of their own: make tune ARGS="--kinds shape"
	$(IN_HOST) benchmarks/quality/tune.py $(ARGS)

exactness: ## how exactly a photo comes back, for weights, bases, schedulers and step counts; writes benchmarks/results/exactness.json and a table
	$(IN_HOST) benchmarks/exactness.py $(ARGS)

pictures: ## draw the pictures of the help pages with the nodes themselves: make pictures ARGS="LEDITS_Concept" for one
	$(IN_HOST) scripts/help_pictures.py $(ARGS)

workflows: ## write workflows/, their API twins and pictures, and subgraphs/ from scripts/shipped/, as ComfyUI's page saves them (needs Chromium)
	$(IN_HOST) scripts/shipped/save.py

screenshots: ## run every workflow in ComfyUI's page: thumbnails, docs/images/, output/screenshots/; make screenshots ARGS="sweep help" for some
	$(IN_HOST) scripts/shipped/screenshots.py $(ARGS)

hero:   ## draw the picture at the top of the README with the nodes themselves
	$(IN_HOST) scripts/readme_picture.py

locale: ## write the English texts of the nodes' schemas to locales/en/nodeDefs.json
	$(IN_HOST) scripts/help_texts.py

artwork: ## draw the icon and the banner that the registry shows, under artwork/
	$(IN_HOST) scripts/artwork.py

archive: ## build what would be published, under output/
	$(IN_HOST) scripts/archive.py

hold:   ## keep this version's nodes and simple workflow under tests/releases/, for later ones to load; before a release
	$(IN_HOST) scripts/hold.py
