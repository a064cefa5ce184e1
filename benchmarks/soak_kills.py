"""Workers killed at random moments until a number of kills is reached: no job twice, no result lost.

python -m benchmarks.soak_kills --target ssh --kills 200
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from airflow_mlpipe.testing.kill_harness import KillHarness
from airflow_mlpipe.testing.ray_server import RayServer, ensure_ray
from airflow_mlpipe.testing.slurm import SlurmCluster
from airflow_mlpipe.testing.sshd import SSHServer

_RAY = Path(__file__).parent.parent / "tests" / "ray" / "constraints.txt"


@contextmanager
def target_settings(kind: str, folder: Path) -> Iterator[dict[str, Any]]:
    """Give the settings of a target whose jobs lie in ``jobs``; its server runs as long as they are needed."""
    workdir = str(folder / "jobs")
    if kind == "local":
        yield {"type": "local", "workdir": workdir}
        return
    if kind == "slurm":
        with SlurmCluster(folder / "slurm") as cluster:
            yield {"type": "slurm", "workdir": workdir, "conf": str(cluster.conf)}
        return
    if kind == "ray":
        with RayServer(ensure_ray(_RAY)) as cluster:
            (folder / "token").write_text(cluster.token)
            where = {"address": cluster.address, "python": str(cluster.python), "workdir": workdir}
            yield {"type": "ray", **where, "token": {"file": str(folder / "token")}}
        return
    with SSHServer(folder / "sshd") as server:
        yield {"type": "ssh", **server.settings, "workdir": workdir}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", choices=["local", "ssh", "slurm", "ray"], default="ssh")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=secrets.randbits(32))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mlpipe-kills-") as name:
        folder = Path(name)
        with target_settings(arguments.target, folder) as target:
            settings = {
                "datastores": {"workspaceblobstore": {"type": "local", "path": "store"}},
                "compute": {"local": target},
            }
            report = KillHarness(settings, folder, folder / "jobs", arguments.seed).run(arguments.kills)
    print(f"target {arguments.target}, seed {arguments.seed}, load {os.getloadavg()[0]:.1f}")
    print(f"{report.kills} kills of workers in {report.runs} runs, {report.seconds:.0f} s")
    print(f"jobs started twice: {len(report.duplicates)}, beyond one a run: {report.extra}")
    print(f"results lost: {len(report.lost)}")
    return 0 if report.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
