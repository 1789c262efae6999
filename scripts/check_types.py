"""Checks the pack's types as the package that ComfyUI makes of it, whatever this folder is called: python scripts/check_types.py [OPTION ...]"""

import subprocess
import sys

from scripts.paths import CHECKOUT

PARENT = CHECKOUT / ".mypy_cache" / "parent"


def main() -> int:
    # Imports between the layers are relative, and a folder's name need not be one that Python can import.
    package = PARENT / "pack"
    PARENT.mkdir(parents=True, exist_ok=True)
    package.unlink(missing_ok=True)
    package.symlink_to(CHECKOUT, target_is_directory=True)
    options = ["--config-file", str(CHECKOUT / "pyproject.toml"), "--cache-dir", str(PARENT.parent), *sys.argv[1:]]
    return subprocess.run([sys.executable, "-m", "mypy", *options], cwd=PARENT).returncode


if __name__ == "__main__":
    raise SystemExit(main())
