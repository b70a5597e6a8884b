"""The recipe as KFP YAML, to upload or submit."""

import dataclasses
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from kfp import compiler

from components import images
from pipelines.arguments import REFERENCES
from pipelines.profiles.checks import check
from pipelines.profiles.fields import CUDA, Profile
from pipelines.profiles.loading import DEFAULT, load_profile
from pipelines.recipes import load_recipe
from pipelines.secrets import check_name
from pipelines.storm import storm_pipeline
from pipelines.tasks import TaskSettings
from storm_core.errors import InputError
from storm_core.stores.locations import S3Location
from storm_core.stores.uris import parse_uri


class Compiled(NamedTuple):
    """What a person should know of a compiled pipeline, a line each.

    Attributes:
        expectations: what must be in the namespace of a run.
        warnings: what will stop a run unless its arguments or its namespace say otherwise.
    """

    expectations: list[str]
    warnings: list[str]


def compile_recipe(
    recipe_path: Path,
    output: Path,
    *,
    profile: str = DEFAULT,
    store: str | None = None,
    tracking_uri: str | None = None,
    registered_model_name: str | None = None,
    secrets: Mapping[str, str] | None = None,
    service_account: str | None = None,
    registry: str | None = None,
    digests: Path | None = None,
) -> Compiled:
    """Write the pipeline with the recipe's arguments as its defaults; a person can still change them for a run.

    Args:
        recipe_path: YAML file of run arguments.
        output: the `.yaml` file to write.
        profile: what the cluster gives to each task: the name of a shipped profile, or the path of a YAML file. What is
            given here besides replaces what it says.
        store: value of `STORM_STORE` in every container, `s3://bucket` or `s3://bucket/prefix`. A run needs one:
            verdicts go from pod to pod by reference.
        tracking_uri: value of `MLFLOW_TRACKING_URI` in every container, `http://` or `https://`.
        registered_model_name: what the models are registered as in MLflow, in place of what the recipe says.
        secrets: names of secrets in the cluster by kind, a key of `pipelines.secrets.SECRETS`.
        service_account: what the run's pods are to run as. The pipeline says so in its description; KFP has no field
            for it but a run's.
        registry: where the images were pushed to; without one, a node must have them already.
        digests: the build's metadata file; with it images are named by digest.

    Raises:
        InputError: the recipe or the profile cannot work, `output` is not a YAML file in an existing directory or
            cannot be written, a name is not valid in Kubernetes, pods cannot reach the store or the server, or an image
            has no digest.
    """
    if output.suffix not in (".yaml", ".yml") or not output.parent.is_dir():
        raise InputError(f"output must be a .yaml file in an existing directory, got {output}")
    given = {"store": store, "tracking_uri": tracking_uri, "service_account": service_account, "registry": registry}
    given["registered_model_name"] = registered_model_name
    chosen = chosen_profile(profile, given, secrets or {})
    arguments = load_recipe(recipe_path, chosen.registered_model_name)
    settings = TaskSettings(image_name=image_names(arguments, chosen, digests), profile=chosen)
    try:
        write_pipeline(settings, arguments, pipeline_name(recipe_path), output)
    except OSError as error:
        raise InputError(f"cannot write {output}: {error.strerror}") from error
    return Compiled(expectations=settings.expectations(), warnings=warnings(chosen, arguments))


def chosen_profile(name: str, addresses: Mapping[str, str | None], secrets: Mapping[str, str]) -> Profile:
    """The profile, with what is given besides in place of what it says.

    Raises:
        InputError: a field is wrong, or pods cannot reach the store or the server.
    """
    given: dict[str, Any] = {field: value for field, value in addresses.items() if value is not None}
    for kind, secret in secrets.items():
        check_name(f"the {kind} secret", secret)
    if "service_account" in given:
        check_name("the service account", given["service_account"])
    _check_addresses(given.get("store"), given.get("tracking_uri"))
    said = load_profile(name)
    profile = dataclasses.replace(
        said,
        **given,
        secrets={**said.secrets, **secrets},
        credentials=None if "s3" in secrets else said.credentials,
    )
    try:
        _check_addresses(profile.store, profile.tracking_uri)
        check(profile)
    except InputError as error:
        raise InputError(f"profile {name}: {error}") from error
    return profile


def _check_addresses(store: str | None, tracking_uri: str | None) -> None:
    """Refuse what no pod reaches, and credentials, which would be read in every pod."""
    if store is not None and not ("://" in store and isinstance(parse_uri(store), S3Location)):
        raise InputError(f"pods share no disk; the store must be s3://bucket or s3://bucket/prefix, got {store}")
    if tracking_uri is not None:
        if "@" in tracking_uri.partition("://")[2].partition("/")[0]:
            raise InputError("the tracking URI must hold no user or password; name a secret with --mlflow-secret")
        if not _is_web_address(tracking_uri):
            raise InputError(f"the tracking URI must be http://host or https://host, got {tracking_uri!r}")


def _is_web_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        _ = parts.port  # Looked at, it says whether it is one.
    except ValueError:
        return False
    # A blank around it is no part of what urlsplit reads, and is one of what a client asks.
    return parts.scheme in ("http", "https") and bool(parts.hostname) and text == text.strip()


def warnings(profile: Profile, arguments: Mapping[str, Any]) -> list[str]:
    """What will stop a run, but may be given to it later: by its arguments, or by the pods' own identity."""
    lines = []
    given = {one.name: arguments.get(one.name, "") for one in REFERENCES}
    local = [name for name, reference in given.items() if reference and "://" not in reference]
    if local:
        lines.append(f"no pod has the paths of {', '.join(local)}; `storm artifact push` makes URIs of them")
    if profile.store is None:
        lines.append("no --store: select will not find the verdicts, which go from pod to pod by reference")
    elif "s3" not in profile.secrets and profile.credentials is None:
        lines.append(f"no --s3-secret: the pods need an identity of their own that may use {profile.store}")
    if arguments.get("score_engine") == "openai" and not _has_judge_key(profile):
        lines.append("no --judge-secret: the judge's endpoint will be asked without a key")
    return lines


def _has_judge_key(profile: Profile) -> bool:
    sources = profile.task("score").environment_from
    return "judge" in profile.secrets or any("OPENAI_API_KEY" in source.keys.values() for source in sources)


def write_pipeline(settings: TaskSettings, arguments: dict[str, Any], name: str, output: Path) -> None:
    """Compile into a file beside `output`, so that a failure leaves what was there."""
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as directory:
        compiled = Path(directory) / "pipeline.yaml"
        compiler.Compiler().compile(
            storm_pipeline(settings),
            str(compiled),
            pipeline_name=name,
            pipeline_parameters=arguments,
        )
        compiled.replace(output)


def image_names(arguments: Mapping[str, Any], profile: Profile, digests: Path | None) -> Callable[[str, str], str]:
    """How each task's image is called where it is pulled from."""
    if digests and not profile.registry:
        raise InputError("digests are a registry's: give --registry with --digests")
    chosen = images.chosen_by(arguments)
    pulled_by = images.pinned(profile.registry, digests) if profile.registry else {}

    def name(verb: str, image: str) -> str:
        image = chosen.get(verb, image)
        if profile.task(verb).image == CUDA:
            image = images.CUDA_OF.get(image, image)
        if pulled_by and image not in pulled_by:
            raise InputError(f"{digests} holds no digest for {image}")
        return pulled_by.get(image, image)

    return name


def pipeline_name(recipe_path: Path) -> str:
    """What KFP calls the pipeline of a recipe."""
    return f"storm-{kubernetes_name(recipe_path.stem)}"


def kubernetes_name(text: str) -> str:
    """The text in lower case, with dashes for what is no letter or digit."""
    return "".join(letter if letter.isalnum() else "-" for letter in text.lower())
