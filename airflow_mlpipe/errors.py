"""Every failure that this package reports, drawn as a tree.

    MLPipeError
    ├── SpecError               a pipeline file is wrong (carries every fault found)
    ├── ConfigError             a workspace file, connection or plug-in is wrong
    ├── ParameterError          a run was started with a wrong, unknown or missing parameter
    ├── DataError               input or output data is missing, damaged or changed under our feet
    │   └── OutputMissingError  a step ended well but did not write what it declared
    ├── StoreError              records cannot be read or written
    ├── EnvironmentBuildError   the software of a step cannot be installed
    ├── ComputeError            a compute target refuses or cannot be reached
    │   ├── SubmitRejectedError     the target said no; asking again will not help
    │   └── TransientComputeError   try again later; the job itself may be fine
    ├── AirflowUnreachableError an Airflow does not answer, or not properly
    └── StepFailedError         the user's own code failed

A message says what was seen, what is allowed and what to do next. It is all a user sees: front ends print it
without a traceback.
"""

from __future__ import annotations


class MLPipeError(Exception):
    """Root of all errors of this package; ``str(error)`` is complete and fit to be shown to a user."""


class SpecError(MLPipeError):
    """A pipeline file is wrong.

    :param faults: every fault found, each printable as ``file:line:column level code  path: reason``.
    """

    def __init__(self, faults: tuple[object, ...]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = faults


class ConfigError(MLPipeError):
    """A workspace file, a connection or a plug-in is wrong."""


class ParameterError(MLPipeError):
    """A run was started with a wrong, unknown or missing parameter."""


class DataError(MLPipeError):
    """Input or output data is missing, damaged, or changed while it was used."""


class OutputMissingError(DataError):
    """A step ended with exit code 0 but a declared output is missing."""


class StoreError(MLPipeError):
    """Records cannot be read or written."""


class EnvironmentBuildError(MLPipeError):
    """The software that a step asked for cannot be installed."""


class ComputeError(MLPipeError):
    """A compute target refuses a job or cannot be reached."""


class SubmitRejectedError(ComputeError):
    """The target refused the job for good."""


class TransientComputeError(ComputeError):
    """The target did not answer properly; the job may be alive and the same call may work later.

    :param retry_after: seconds for which the target wants to be left alone, ``None`` if it did not say.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class AirflowUnreachableError(MLPipeError):
    """An Airflow does not answer its REST API, or not properly; the same call may work later."""


class StepFailedError(MLPipeError):
    """The user's own code failed.

    :param message: what failed, with the tail of the script's output and where the full log is.
    :param exit_code: exit code of the command, ``None`` when it was killed or lost.
    """

    def __init__(self, message: str, exit_code: int | None = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code
