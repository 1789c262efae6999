from scripts.host import in_comfy  # noqa: F401 (ComfyUI must be set to the CPU before the tests import anything of it)

import pytest

from support.few_steps import second_order


@pytest.fixture(scope="session", autouse=True)
def few_steps_at_second_order():
    with second_order():
        yield
