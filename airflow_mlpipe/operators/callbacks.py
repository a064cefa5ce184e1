"""Functions of the user that Airflow calls when something has ended, by their names."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import conf

from airflow_mlpipe.errors import ConfigError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

_OPTION = "callback_modules"
_DEFAULT = "mlpipe_callbacks"


class callback:  # noqa: N801 - stands in DAG files as a function does
    """Calls a function when Airflow calls this; until then the function is a name, and nothing is imported.

    .. code-block:: python

        with DAG("flights", on_failure_callback=callback("mlpipe_callbacks.page")): ...

    Who writes a pipeline chooses among functions that the operator of Airflow has put there: the module must be one of
    ``[mlpipe] callback_modules`` (names with commas between them; default ``mlpipe_callbacks``, a file in the DAGs or
    plugins folder) or lie in one of them. The function gets Airflow's context, and nothing from the pipeline file.

    :param name: ``module.function``.
    :raises ConfigError: if the module is none of these, when the DAG file is loaded: an alarm that never rings is
        found out too late.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        allowed = [word.strip() for word in conf.get("mlpipe", _OPTION, fallback=_DEFAULT).split(",") if word.strip()]
        module = name.rpartition(".")[0]
        if not any(module == word or module.startswith(f"{word}.") for word in allowed):
            raise ConfigError(
                f"The callback {name!r} is not in a module that may be called: {', '.join(allowed) or 'none'}. "
                f"Put the function there, or have the module added to the option [mlpipe] {_OPTION} of Airflow."
            )

    def __call__(self, context: Context) -> None:
        """Import the function and call it.

        :raises ConfigError: if there is no such function.
        """
        module, _, function = self.name.rpartition(".")
        found = getattr(import_module(module), function, None)
        if not callable(found):
            raise ConfigError(f"The callback {self.name!r} cannot be called: {module} has no function {function!r}.")
        found(context)

    def __repr__(self) -> str:
        """Return the same text in every process; Airflow compares DAGs by their texts."""
        return f"callback({self.name!r})"
