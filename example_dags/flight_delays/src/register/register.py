"""Hand the model on for registration if it is better than the champion; write nothing otherwise."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path


def main() -> None:
    """Read the verdict and copy the model, or leave the output empty: then no version is registered."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--verdict", type=Path, required=True)
    parser.add_argument("--registered", type=Path, required=True, help="folder to write")
    arguments = parser.parse_args()

    verdict = json.loads(arguments.verdict.read_text(encoding="utf-8"))
    if verdict["better"]:
        shutil.copytree(arguments.model, arguments.registered, dirs_exist_ok=True)
    print(f"auc {verdict['auc']:.4f}, champion {verdict['champion_auc']}: better is {verdict['better']}")


if __name__ == "__main__":
    main()
