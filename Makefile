PYTHON ?= python3
IN_HOST = $(PYTHON) tests/environment/prepare.py

.PHONY: demo test lint train measure

demo:   ## edit a shipped picture in the real ComfyUI; results under output/
	$(IN_HOST) tests/demo.py

test:   ## every test that needs no GPU
	$(IN_HOST) -m ruff check .
	$(IN_HOST) -m pytest tests $(ARGS)

train:  ## train the small model: make train ARGS="--work DIR" (hours on a CPU; resumes where it stopped)
	$(IN_HOST) tests/small_model/train.py $(ARGS)

measure: ## score the small model and draw its contact sheets under output/
	$(IN_HOST) tests/small_model/measure.py $(ARGS)
