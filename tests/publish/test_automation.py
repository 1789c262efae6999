"""What runs by itself on GitHub and before a commit does what the README and CONTRIBUTING say."""

import re

import tomllib
import yaml

from scripts.paths import CHECKOUT

WORKFLOWS = CHECKOUT / ".github" / "workflows"


def load_yaml(path):
    # YAML reads the key `on` as a boolean.
    return yaml.load(path.read_text().replace("\non:", '\n"on":'), yaml.SafeLoader)


def steps_of(workflow):
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_every_push_and_pull_request_runs_the_tests():
    workflow = load_yaml(WORKFLOWS / "test.yml")
    assert workflow["on"].keys() >= {"push", "pull_request"}
    assert {"make test", "make test-long"} <= {step.get("run") for step in steps_of(workflow)}
    cached = next(step["with"] for step in steps_of(workflow) if step.get("uses", "").startswith("actions/cache"))
    (folder,) = re.findall(r"hashFiles\('(.*)/\*'\)", cached["key"])
    assert (CHECKOUT / folder / "pins.txt").is_file()


def test_a_new_version_on_main_is_published_from_the_own_repository_alone():
    workflow = load_yaml(WORKFLOWS / "publish.yml")
    assert workflow["on"]["push"] == {"branches": ["main"], "paths": ["pyproject.toml"]}
    (job,) = workflow["jobs"].values()
    repository = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]
    assert f"'{repository.removeprefix('https://github.com/')}'" in job["if"]
    publish = job["steps"][-1]
    assert publish["uses"].startswith("Comfy-Org/publish-node-action@")
    assert publish["with"] == {"personal_access_token": "${{ secrets.REGISTRY_ACCESS_TOKEN }}"}


def test_pre_commit_runs_the_ruff_that_the_tests_run():
    (hooks,) = load_yaml(CHECKOUT / ".pre-commit-config.yaml")["repos"]
    pinned = re.search(r"^ruff==(.*)$", (CHECKOUT / "scripts" / "environment" / "pins.txt").read_text(), re.MULTILINE)
    assert hooks["rev"] == f"v{pinned[1]}"
    assert [hook["id"] for hook in hooks["hooks"]] == ["ruff-check", "ruff-format"]
