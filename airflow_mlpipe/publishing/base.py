"""What is kept of a published pipeline and of an endpoint."""

from datetime import datetime

from msgspec import field

from airflow_mlpipe.frozen import Kept


class PublishedPipeline(Kept, frozen=True, kw_only=True):
    """One version of a pipeline; it never changes.

    :param source: the pipeline file, relative to the top of its source.
    :param code: digest of the source, ``code:<hex>``; the same source is kept once.
    :param files: path to identity of every file of the source, as a snapshot has them.
    :param spec_hash: of what the pipeline says.
    """

    name: str
    version: str
    description: str = ""
    dag_id: str
    source: str
    code: str
    files: dict[str, str]
    spec_hash: str
    nonce: str
    created: datetime


class EndpointVersion(Kept, frozen=True, kw_only=True):
    """A published pipeline behind an endpoint.

    :param number: counts from 0 in each endpoint, as in Azure ML.
    :param pipeline: ``name:version`` of the published pipeline.
    """

    number: int
    pipeline: str
    dag_id: str
    added: datetime


class Endpoint(Kept, frozen=True, kw_only=True):
    """What an endpoint is after a change; the changes before it are kept.

    :param revision: number of the change, from 1.
    :param change: what was done, in words.
    :param default: number of the version that calls without a version go to.
    """

    name: str
    revision: int
    change: str
    description: str = ""
    versions: list[EndpointVersion] = field(default_factory=list)
    default: int = 0
    enabled: bool = True
    archived: bool = False
    nonce: str
    changed: datetime

    @property
    def status(self) -> str:
        """``active``, ``disabled`` or ``archived``."""
        if self.archived:
            return "archived"
        return "active" if self.enabled else "disabled"
