"""Compare a new model (the challenger) with the registered one (the champion) on a month after training."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from flights import LABEL, features, load_model, log_metric, read
from sklearn.metrics import roc_auc_score


def main() -> None:
    """Log both areas under the ROC curve and write the verdict."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="folder of the challenger")
    parser.add_argument("--champion", type=Path, help="folder of the champion; left out while no model is registered")
    parser.add_argument("--evaluation", type=Path, required=True, help="CSV of prepare")
    parser.add_argument("--verdict", type=Path, required=True, help="JSON to write")
    arguments = parser.parse_args()

    table = read(arguments.evaluation)

    def auc(folder: Path) -> float:
        return float(roc_auc_score(table[LABEL], load_model(folder).predict_proba(features(table))[:, 1]))

    challenger = auc(arguments.model)
    champion = auc(arguments.champion) if arguments.champion else None
    log_metric("auc", challenger)
    if champion is not None:
        log_metric("champion_auc", champion)
    verdict = {"auc": challenger, "champion_auc": champion, "better": champion is None or challenger > champion}
    arguments.verdict.parent.mkdir(parents=True, exist_ok=True)
    arguments.verdict.write_text(json.dumps(verdict, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
