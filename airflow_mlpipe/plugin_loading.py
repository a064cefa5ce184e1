"""One loader for everything that can be plugged in: built-ins are dotted strings, the rest are entry points.

A third party adds a compute target by an entry point in the group ``airflow_mlpipe.compute_targets``; its name is the
``type:`` in ``workspace.yml``, its value a class with the classmethod ``from_config(name, config, folder)``.
"""

from __future__ import annotations

import difflib
from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow_mlpipe.errors import ConfigError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

COMPUTE_TARGETS = "airflow_mlpipe.compute_targets"
DATASTORES = "airflow_mlpipe.datastores"

_BUILT_IN = {
    COMPUTE_TARGETS: {
        "local": "airflow_mlpipe.compute.local:LocalTarget",
        "inline": "airflow_mlpipe.compute.inline:InlineTarget",
        "ssh": "airflow_mlpipe.compute.ssh.target:SSHTarget",
        "ray": "airflow_mlpipe.compute.ray.target:RayTarget",
        "slurm": "airflow_mlpipe.compute.slurm.target:SlurmTarget",
    },
    DATASTORES: {
        "local": "airflow_mlpipe.datastores.local:LocalDatastore",
        "https": "airflow_mlpipe.datastores.https:HttpsDatastore",
        "memory": "airflow_mlpipe.datastores.memory:MemoryDatastore",
        "azure_blob": "airflow_mlpipe.datastores.azure_blob.store:AzureBlobDatastore",
        "sftp": "airflow_mlpipe.datastores.sftp.store:SFTPDatastore",
    },
}


def names(group: str) -> list[str]:
    """Return the types that a group knows, sorted, without importing any of them."""
    return sorted({*_BUILT_IN[group], *(entry.name for entry in _offered(group))})


def load_plugin(group: str, name: str) -> Any:
    """Import and return the class behind a type name.

    :param group: :data:`COMPUTE_TARGETS` or :data:`DATASTORES`.
    :param name: the ``type:`` that the user wrote.
    :raises ConfigError: if nobody provides it, or it cannot be imported.
    """
    dotted = _BUILT_IN[group].get(name)
    if dotted is None:
        found = [entry.value for entry in _offered(group) if entry.name == name]
        if not found:
            close = difflib.get_close_matches(name, names(group), n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ConfigError(f"Unknown type {name!r} for {group}. Known: {', '.join(names(group))}.{hint}")
        dotted = found[0]
    module, _, attribute = dotted.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"The plug-in {name!r} of {group} ({dotted}) cannot be imported: {error}. Install what it needs."
        ) from error


def _offered(group: str) -> EntryPoints:
    from importlib.metadata import entry_points  # noqa: PLC0415 - slow to import, and most types are built in

    return entry_points(group=group)
