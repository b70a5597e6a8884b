"""The pipeline and its version on a server: looked up by name, and uploaded where they are not there.

A version's name ends with a digest of its content, so the same content is the same version.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kfp_server_api

from pipelines.compilation import kubernetes_name
from pipelines.submission.server import Server, TakenError
from storm_core.errors import InputError

# KFP takes names of 127 characters.
_MOST_CHARACTERS = 50
_DIGEST_CHARACTERS = 12
_EQUALS = 1


@dataclass(frozen=True, kw_only=True)
class Version:
    """A version on a server, and whether it was uploaded just now."""

    name: str
    pipeline_id: str
    version_id: str
    is_new: bool


def version_name(recipe: Path, profile: str, pipeline: Path) -> str:
    """Recipe, profile and the digest of the compiled pipeline."""
    digest = hashlib.sha256(pipeline.read_bytes()).hexdigest()[:_DIGEST_CHARACTERS]
    names = (kubernetes_name(part)[:_MOST_CHARACTERS] for part in (recipe.stem, Path(profile).stem))
    return "-".join([*names, digest])


def find_or_upload(server: Server, pipeline_name: str, name: str, pipeline: Path) -> Version:
    """The version called `name` of the pipeline; `pipeline` is uploaded where there is none.

    Raises:
        InputError: the server refuses the pipeline, or cannot be reached.
    """
    pipeline_id = _pipeline_id(server, pipeline_name)
    found = _version_id(server, pipeline_id, name)
    if found:
        return Version(name=name, pipeline_id=pipeline_id, version_id=found, is_new=False)
    try:
        uploaded = server.call(
            server.client.pipeline_uploads.upload_pipeline_version, str(pipeline), name=name, pipelineid=pipeline_id
        )
    except TakenError:  # Somebody else was first with the same content.
        return Version(
            name=name,
            pipeline_id=pipeline_id,
            version_id=_there(_version_id(server, pipeline_id, name), name),
            is_new=False,
        )
    return Version(name=name, pipeline_id=pipeline_id, version_id=uploaded.pipeline_version_id, is_new=True)


def _pipeline_id(server: Server, name: str) -> str:
    """The pipeline's ID; it is made where there is none, without a version."""
    found = _find_pipeline(server, name)
    if found:
        return found
    wanted = kfp_server_api.V2beta1Pipeline(name=name, display_name=name, namespace=server.namespace)
    try:
        made = server.call(server.client.pipelines.pipeline_service_create_pipeline, wanted)
    except TakenError:
        return _there(_find_pipeline(server, name), name)
    return str(made.pipeline_id)


def _find_pipeline(server: Server, name: str) -> str | None:
    listed = server.call(
        server.client.pipelines.pipeline_service_list_pipelines, filter=named(name), **in_namespace(server)
    )
    return next((str(one.pipeline_id) for one in listed.pipelines or []), None)


def _version_id(server: Server, pipeline_id: str, name: str) -> str | None:
    listed = server.call(
        server.client.pipelines.pipeline_service_list_pipeline_versions, pipeline_id, filter=named(name)
    )
    return next((str(one.pipeline_version_id) for one in listed.pipeline_versions or []), None)


def named(name: str) -> str:
    """KFP's filter of what is called so."""
    return json.dumps({"predicates": [{"operation": _EQUALS, "key": "display_name", "stringValue": name}]})


def in_namespace(server: Server) -> dict[str, Any]:
    """How lists are asked for where users have namespaces."""
    return {"namespace": server.namespace} if server.namespace else {}


def _there(found: str | None, name: str) -> str:
    if found is None:
        raise InputError(f"KFP says that {name} is there, and does not list it; is it in another namespace?")
    return found
