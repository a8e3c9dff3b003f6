"""What comes of input that may hold anything: one function for each kind, for properties and the corpus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

from yarl import URL

from exporter.config import Config, ConfigError, ConfigFiles, load_config, masked_yaml
from exporter.ontap.cluster_settings import Endpoint
from exporter.ontap.errors import OntapError
from exporter.ontap.requests.deletion import delete_package
from exporter.ontap.requests.facts import (
    ClusterIdentity,
    SoftwareFacts,
    read_download_state,
    read_identity,
    read_node_versions,
    read_software,
    read_software_beside,
)
from exporter.ontap.requests.jobs import Job, JobSearch, find_job, read_job
from exporter.ontap.requests.listing import CollectionQuery, Listing, read_listing
from exporter.ontap.requests.messages import Conversation, Request, Response, failure_of
from exporter.web.auth import WebConfig, load_web_config

ENDPOINT = Endpoint(host="10.20.0.5")
_VERSION = "9.14.1P2"
_MOST_PAGES = 10


def load(path: Path, content: bytes, *, environ: Mapping[str, str]) -> Config | ConfigError:
    """Load a configuration; it can be shown, or every mistake has a file."""
    path.write_bytes(content)
    try:
        config = load_config(path, environ=environ)
    except ConfigError as error:
        _check_problems(error)
        return error
    assert config.clusters or config.cluster_files
    assert masked_yaml(config)
    return config


def load_beside(path: Path, content: bytes, *, environ: Mapping[str, str]) -> Config | ConfigError:
    """Put the content into a cluster file that was good before; what comes of it, loaded strictly."""
    beside = path.with_name("cluster-file.json")
    path.write_text(f"clusters: [{{address: kept}}]\ncluster_files: [{beside.name}]\n")
    beside.write_text("[{address: before}]")
    files = ConfigFiles(path, environ=environ)
    files.load()
    beside.unlink()
    beside.write_bytes(content)
    scans = [files.scan(), files.scan()]
    try:
        config = load_config(path, environ=environ)
    except ConfigError as error:
        assert scans == [None, None]
        assert files.problems
        assert files.failed_files == 1
        return error
    assert scans[1] == config or content == b"[{address: before}]"
    assert config.clusters[0].name == "kept"
    assert files.failed_files == 0
    assert masked_yaml(config)
    return config


def load_web(path: Path, content: bytes, *, environ: Mapping[str, str]) -> WebConfig | ConfigError:
    """Load a web configuration; every mistake has a file."""
    path.write_bytes(content)
    try:
        return load_web_config(path, environ=environ)
    except ConfigError as error:
        _check_problems(error)
        return error


def check_answers(bodies: Sequence[bytes], *, status: int = 200) -> None:
    """Answer each conversation with these bodies, in turn and again: it ends with a value or an OntapError.

    No request leaves the cluster, and all texts can be written as UTF-8.
    """
    query = CollectionQuery(
        endpoint=ENDPOINT, return_timeout_seconds=15, max_records=500, max_pages=_MOST_PAGES
    )
    conversations: list[tuple[Conversation[Any], Any]] = [
        (read_listing(query), Listing),
        (read_identity(), ClusterIdentity),
        (read_software(query), SoftwareFacts),
        (read_node_versions(query), tuple | None),
        (read_software_beside(("9.13.1",)), SoftwareFacts),
        (read_download_state(), str),
        (read_job("job-1"), Job),
        (find_job(_VERSION, query=query), JobSearch),
        (find_job(_VERSION, query=query, earlier=["job-1"]), JobSearch),
        (delete_package(_VERSION, return_timeout_seconds=0), str | None),
    ]
    answers = [Response(status=status, body=body) for body in bodies]
    for conversation, kind in conversations:
        assert isinstance(_end(conversation, cycle(answers)), kind | OntapError)


def sent_to(target: str, endpoint: Endpoint) -> URL:
    """Return the URL to which the client sends a request; it is on the cluster."""
    url = URL(endpoint.origin + target, encoded=True)
    assert url.host is not None
    own = (endpoint.scheme, None, endpoint.host.lower(), endpoint.port)
    assert (url.scheme, url.user, url.host.lower(), url.port) == own
    assert url.raw_path.startswith("/")
    assert target.isascii()
    assert target.isprintable()
    assert " " not in target
    return url


def _end(conversation: Conversation[Any], answers: Iterator[Response]) -> Any:
    """Answer as the client does, up to the result or the error."""
    end: Any
    try:
        request: Request = next(conversation)
        while True:
            sent_to(request.target, ENDPOINT)
            response = next(answers)
            failure = failure_of(response)
            request = conversation.send(response) if failure is None else conversation.throw(failure)
    except StopIteration as stop:
        end = stop.value
    except OntapError as error:
        end = error
    for text in _texts(end):
        text.encode()
    return end


def _texts(value: object) -> Iterator[str]:
    """Yield every text in a result or an error."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, OntapError):
        yield from (str(value), value.code)
    elif isinstance(value, tuple | frozenset):
        for one in value:
            yield from _texts(one)
    elif is_dataclass(value):
        for field in fields(value):
            yield from _texts(getattr(value, field.name))


def _check_problems(error: ConfigError) -> None:
    assert error.problems
    assert all(problem.file for problem in error.problems)
    assert list(error.problems) == sorted(error.problems)
