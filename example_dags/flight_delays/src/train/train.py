"""Train a gradient boosting classifier of late arrivals."""

from __future__ import annotations

import argparse
from pathlib import Path

from flights import LABEL, features, log_metric, read, save_model
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits


def main() -> None:
    """Fit, log how well the training data is told apart, keep the model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--training", type=Path, required=True, help="CSV of prepare")
    parser.add_argument("--learning-rate", type=float, required=True)
    parser.add_argument("--model", type=Path, required=True, help="folder to write")
    arguments = parser.parse_args()

    table = read(arguments.training)
    model = HistGradientBoostingClassifier(
        max_iter=60,
        learning_rate=arguments.learning_rate,
        categorical_features="from_dtype",
        random_state=0,
    )
    with threadpool_limits(
        1
    ):  # the number of threads is kept in the model: without this, other machines give other bytes
        model.fit(features(table), table[LABEL])
    log_metric("training_auc", roc_auc_score(table[LABEL], model.predict_proba(features(table))[:, 1]))
    log_metric("training_rows", len(table))
    save_model(model, arguments.model)


if __name__ == "__main__":
    main()
