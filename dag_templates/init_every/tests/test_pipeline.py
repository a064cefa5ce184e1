"""The pipeline is right and runs, in a copy of this folder: python -m unittest discover tests, or pytest."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1]
LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "dags", "tests")


class PipelineTest(unittest.TestCase):
    """What somebody who changes the pipeline wants to know before it goes to Airflow."""

    def setUp(self) -> None:
        """Copy the pipeline and its data; records and results of the copy stay in the copy."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.pipeline = Path(folder.name) / "copy" / "pipeline.yml"
        shutil.copytree(FOLDER, self.pipeline.parent, ignore=LEFT_OUT)

    def mlpipe(self, *words: str) -> str:
        """Call mlpipe and return what it said; it must have ended well."""
        done = subprocess.run(["mlpipe", *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def test_nothing_is_wrong_with_it(self) -> None:
        """Every key is known, every file is there, and there is no advice."""
        self.mlpipe("lint", str(self.pipeline))

    def test_it_becomes_a_dag(self) -> None:
        """Airflow loads the file before it is written."""
        dags = self.pipeline.parent / "dags"
        self.mlpipe("generate", str(self.pipeline), "-o", str(dags))
        assert len(list(dags.glob("*.py"))) == 1

    def test_it_runs_and_is_reused_when_nothing_changes(self) -> None:
        """The second run may still look at what the first one registered; the third has nothing to do."""
        for _ in range(2):
            self.mlpipe("run", str(self.pipeline))
        assert "\n0 ran, " in self.mlpipe("run", str(self.pipeline))


if __name__ == "__main__":
    unittest.main()
