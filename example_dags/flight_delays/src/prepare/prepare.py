"""Join flights with the weather at their hour of departure, and part them by time.

The newest month of the data is held out: models are evaluated on it, and it is scored. All months before it are the
training window. Only what is known before departure becomes a feature. Cancelled flights have no arrival to be late
and are left out of training and evaluation; they are scored like all others.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd

WEATHER = ["temp", "dewp", "humid", "wind_speed", "wind_gust", "precip", "pressure", "visib"]
FLIGHT = ["time_hour", "carrier", "flight", "origin", "dest"]
FEATURES = ["minute_of_day", "weekday", "distance", *WEATHER]
LABEL = "late"


def read_months(folder: Path, table: str) -> dict[str, pd.DataFrame]:
    """Read ``<table>-YYYY-MM.csv`` files.

    :returns: month to table, oldest first.
    """
    return {path.stem.removeprefix(f"{table}-"): pd.read_csv(path) for path in sorted(folder.glob(f"{table}-*.csv"))}


def join(flights: pd.DataFrame, weather: pd.DataFrame) -> pd.DataFrame:
    """Add the weather at the airport of departure and the calendar; one row for each flight, same order."""
    hourly = weather.drop_duplicates(["origin", "time_hour"])
    table = flights.merge(hourly[["origin", "time_hour", *WEATHER]], on=["origin", "time_hour"], how="left")
    table["minute_of_day"] = table["hour"] * 60 + table["minute"]
    table["weekday"] = pd.to_datetime(table[["year", "month", "day"]]).dt.day_of_week
    return table


def labelled(table: pd.DataFrame, delay_minutes: int) -> pd.DataFrame:
    """Keep the flights that arrived and say which were late.

    :param delay_minutes: a flight that arrives this many minutes late or more counts as late.
    """
    arrived = table.dropna(subset=["arr_delay"])
    late = (arrived["arr_delay"] >= delay_minutes).astype(int)
    return arrived[FLIGHT + FEATURES].assign(**{LABEL: late})


def cut(table: pd.DataFrame, parts: int, folder: Path) -> None:
    """Write the rows in order to so many files of about the same size."""
    folder.mkdir(parents=True, exist_ok=True)
    size = -(-len(table) // parts)
    for number in range(parts):
        rows = table.iloc[number * size : (number + 1) * size]
        rows.to_csv(folder / f"part-{number:03d}.csv", index=False, lineterminator="\n")


def main() -> None:
    """Read the months, write training data, evaluation data and the parts to score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with flights-*.csv and weather-*.csv")
    parser.add_argument("--delay-minutes", type=int, required=True)
    parser.add_argument("--parts", type=int, default=8, help="number of files to score")
    parser.add_argument("--training", type=Path, required=True, help="CSV to write")
    parser.add_argument("--evaluation", type=Path, required=True, help="CSV to write")
    parser.add_argument("--unscored", type=Path, required=True, help="folder to write")
    arguments = parser.parse_args()

    flights, weather = read_months(arguments.data, "flights"), read_months(arguments.data, "weather")
    if len(flights) < 2 or flights.keys() != weather.keys():
        sys.exit(
            f"Needed: flights and weather of the same two or more months. There are {[*flights]} and {[*weather]}."
        )
    tables = {month: join(flights[month], weather[month]) for month in flights}
    *window, following = tables
    training = pd.concat([labelled(tables[month], arguments.delay_minutes) for month in window])
    evaluation = labelled(tables[following], arguments.delay_minutes)
    for table, path in ((training, arguments.training), (evaluation, arguments.evaluation)):
        path.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(path, index=False, lineterminator="\n")
    cut(tables[following][FLIGHT + FEATURES], arguments.parts, arguments.unscored)
    print(f"training: {len(training)} flights of {', '.join(window)}, {training[LABEL].mean():.1%} late")
    print(f"held out: {len(evaluation)} flights of {following}, {evaluation[LABEL].mean():.1%} late")


if __name__ == "__main__":
    main()
