"""The workspace: which datastores, compute targets and environments there are, under one name.

Azure ML's word for the one thing that everything else is reached through. It is passed around; nothing is global.
"""

import difflib
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, cast

import yaml
from msgspec import Meta, field

from airflow_mlpipe.compute.base import ComputeTarget
from airflow_mlpipe.content.memo import SMALL_TREE, DigestMemo
from airflow_mlpipe.datastores.base import Datastore
from airflow_mlpipe.environment import EnvironmentDefinition, load_environment
from airflow_mlpipe.errors import ConfigError
from airflow_mlpipe.frozen import Misfit, Strict, checked, keys, misfits
from airflow_mlpipe.plugin_loading import COMPUTE_TARGETS, DATASTORES, load_plugin
from airflow_mlpipe.registry.store import Registry
from airflow_mlpipe.reuse.flights import Flights
from airflow_mlpipe.reuse.store import ReuseStore
from airflow_mlpipe.tracking.run_store import RunStore

FILE_NAME = "workspace.yml"
_HOME_VARIABLE = "MLPIPE_WORKSPACE"
_MAX_BYTES = 1 << 20
_PREFIX = "mlpipe"
WEB = "https"
"""Name of the datastore that ``https://`` inputs are read from; every workspace has it, and may say how."""


class SingleFlight(Strict, frozen=True, kw_only=True):
    """How patiently a step waits for another run that computes the same step.

    :param grace: seconds without a sign of life after which the other run counts as dead.
    :param max_wait: seconds after which the step is run all the same, ``None`` for never.
    """

    grace: Annotated[float, Meta(gt=0)] = 60.0
    max_wait: Annotated[float, Meta(ge=0)] | None = 86400.0


class WorkspaceConfig(Strict, frozen=True, kw_only=True):
    """What ``workspace.yml`` or the connection says.

    :param name: shown to people.
    :param default_datastore: holds all records and all outputs.
    :param default_compute: runs the steps that name no target.
    :param datastores: name to ``{type: ..., ...}``; the further keys belong to the type.
    :param compute: name to ``{type: ..., ...}``.
    :param environments: name to an environment definition (``conda_file``, ``pip_requirements``, ``image``).
    :param scratch: folder for passing copies, relative to the workspace's folder.
    :param single_flight: see :class:`SingleFlight`.
    """

    name: str = "local"
    default_datastore: str = "workspaceblobstore"
    default_compute: str = "local"
    datastores: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {"workspaceblobstore": {"type": "local", "path": "store"}}
    )
    compute: dict[str, dict[str, Any]] = field(default_factory=lambda: {"local": {"type": "local", "workdir": "jobs"}})
    environments: dict[str, dict[str, Any]] = field(default_factory=dict)
    scratch: str = "scratch"
    single_flight: SingleFlight = field(default_factory=SingleFlight)


class Workspace:
    """Opens what the configuration names, each thing once and only when it is asked for.

    :param config: the checked configuration.
    :param folder: where relative paths in it start.
    """

    def __init__(self, config: WorkspaceConfig, folder: Path) -> None:
        self.config = config
        self.folder = folder
        self._datastores: dict[str, Datastore] = {}
        self._targets: dict[str, ComputeTarget] = {}

    @property
    def name(self) -> str:
        """The workspace's name."""
        return self.config.name

    def datastore(self, name: str | None = None) -> Datastore:
        """Return a datastore, the default one without a name.

        :raises ConfigError: if there is none of that name, or its settings are wrong.
        """
        name = name or self.config.default_datastore
        if name not in self._datastores:
            known = self.config.datastores if name != WEB else {WEB: {"type": WEB}, **self.config.datastores}
            self._datastores[name] = cast("Datastore", self._open(DATASTORES, "datastore", known, name))
        return self._datastores[name]

    def compute(self, name: str | None = None) -> ComputeTarget:
        """Return a compute target, the default one without a name.

        :raises ConfigError: if there is none of that name, or its settings are wrong.
        """
        name = name or self.config.default_compute
        if name not in self._targets:
            found = self._open(COMPUTE_TARGETS, "compute target", self.config.compute, name)
            self._targets[name] = cast("ComputeTarget", found)
            self._targets[name].use_store(self.datastore)
        return self._targets[name]

    def environment(self, value: str | Mapping[str, Any] | None, base: Path) -> EnvironmentDefinition | None:
        """Return the definition behind a step's ``environment``.

        :param value: a name of this workspace, a definition, or ``None``.
        :param base: folder that paths in a definition start from; a named one starts from the workspace's folder.
        :raises ConfigError: if the name or the definition is wrong.
        """
        if value is None:
            return None
        if not isinstance(value, str):
            return load_environment(value, base)
        if value not in self.config.environments:
            raise ConfigError(_unknown("environment", value, self.config.environments, self.name))
        return load_environment(self.config.environments[value], self.folder)

    def _open(self, group: str, noun: str, known: Mapping[str, Mapping[str, Any]], name: str) -> object:
        if name not in known:
            raise ConfigError(_unknown(noun, name, known, self.name))
        settings = known[name]
        kind = settings.get("type")
        if not isinstance(kind, str):
            raise ConfigError(
                f"The {noun} {name!r} of workspace {self.name!r} has no 'type'. Write for example type: local."
            )
        return load_plugin(group, kind).from_config(name, settings, self.folder)

    @cached_property
    def reuse(self) -> ReuseStore:
        """Records of what was computed before."""
        return ReuseStore(self.datastore(), _PREFIX)

    @cached_property
    def flights(self) -> Flights:
        """Who computes what right now."""
        return Flights(self.datastore(), _PREFIX)

    @cached_property
    def runs(self) -> RunStore:
        """Records of runs."""
        return RunStore(self.datastore(), _PREFIX)

    @cached_property
    def registry(self) -> Registry:
        """Named, numbered datasets and models."""
        return Registry(self.datastore(), _PREFIX)

    @cached_property
    def memo(self) -> DigestMemo:
        """Remembered digests of data that lies in no datastore."""
        return DigestMemo(self.scratch / "digests.sqlite", smallest=SMALL_TREE)

    @cached_property
    def scratch(self) -> Path:
        """Folder for passing copies; created when asked for."""
        folder = self.folder / self.config.scratch
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"The scratch folder {folder} cannot be created: {error.strerror}. "
                f"Name another one as 'scratch' in {FILE_NAME}."
            ) from error
        return folder


def _unknown(noun: str, name: str, known: Mapping[str, object], workspace: str) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"Workspace {workspace!r} has no {noun} {name!r}. It has: {', '.join(sorted(known)) or 'none'}.{hint}"


def workspace_from_mapping(
    settings: Mapping[str, Any], folder: Path, source: str = "the workspace settings"
) -> Workspace:
    """Build a workspace from plain settings, those of ``workspace.yml`` or of an Airflow connection.

    :param settings: see :class:`WorkspaceConfig`; what is missing gets its default.
    :param folder: where relative paths start.
    :param source: named in errors.
    :raises ConfigError: naming every wrong key.
    """
    try:
        config = checked(WorkspaceConfig, settings)
    except ValueError:
        found = misfits(WorkspaceConfig, settings)
        raise ConfigError("\n".join(_sentence(source, misfit) for misfit in found)) from None
    return Workspace(config, folder)


def _sentence(source: str, misfit: Misfit) -> str:
    where = ".".join(misfit.where)
    if not misfit.is_unknown:
        return f"{source}: {where}: {misfit.text}."
    known = keys(misfit.owner)
    close = difflib.get_close_matches(where, known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else f" Known keys: {', '.join(known)}."
    return f"{source}: unknown key {where!r}.{hint}"


def load_workspace(path: Path) -> Workspace:
    """Read a ``workspace.yml``.

    :raises ConfigError: if it cannot be read or is wrong.
    """
    try:
        text = path.read_bytes()
        if len(text) > _MAX_BYTES:
            raise ConfigError(f"{path} is larger than {_MAX_BYTES} bytes; that is no workspace file.")
        settings = yaml.load(text, Loader=yaml.CSafeLoader)
    except OSError as error:
        raise ConfigError(f"The workspace file {path} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"The workspace file {path} is not valid YAML: {error}") from None
    if settings is None:
        settings = {}
    if not isinstance(settings, dict) or not all(isinstance(key, str) for key in settings):
        raise ConfigError(f"The workspace file {path} must hold keys and values, such as 'name: local'.")
    return workspace_from_mapping(settings, path.resolve().parent, str(path))


def find_workspace(start: Path) -> Workspace:
    """Return the workspace that a pipeline belongs to.

    The nearest ``workspace.yml`` in ``start`` or a folder above it; else the file or folder that ``$MLPIPE_WORKSPACE``
    names; else the embedded default: a local folder (``~/.mlpipe``) and the local machine.

    :param start: folder of the pipeline.
    """
    for folder in (start.resolve(), *start.resolve().parents):
        if (folder / FILE_NAME).is_file():
            return load_workspace(folder / FILE_NAME)
    named = os.environ.get(_HOME_VARIABLE)
    if named:
        path = Path(named).expanduser()
        return load_workspace(path / FILE_NAME if path.is_dir() else path)
    return Workspace(WorkspaceConfig(), Path.home() / ".mlpipe")
