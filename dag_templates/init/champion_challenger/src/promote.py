"""Make the challenger the champion: what is written here is registered."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path


def main() -> None:
    """Copy the model; a place for what comes with a promotion, a model card or a message."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--challenger", type=Path, required=True)
    parser.add_argument("--champion", type=Path, required=True)
    arguments = parser.parse_args()

    shutil.copytree(arguments.challenger, arguments.champion, dirs_exist_ok=True)
    print("the challenger is the champion now")


if __name__ == "__main__":
    main()
