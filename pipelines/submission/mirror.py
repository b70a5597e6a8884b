"""Every image that a run needs on its nodes, for a registry that mirrors them."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from components import images
from pipelines.compilation import image_names
from pipelines.profiles.fields import Profile
from pipelines.submission.registries import RegistryError, with_digest

# What Kubeflow Pipelines 2.17.0 puts around each task, by its release's manifests: the driver and the launcher that
# its API server names, and Argo's executor. They are named by tag there.
KFP_IMAGES = (
    "ghcr.io/kubeflow/kfp-driver:2.17.0",
    "ghcr.io/kubeflow/kfp-launcher:2.17.0",
    "quay.io/argoproj/argoexec:v4.0.5",
)


def needed_images(profile: Profile, digests: Path | None = None) -> list[str]:
    """The names to pull, ours with the profile's builds, with either engine of the judge."""
    found = set(_ours(profile, digests))
    return [*sorted(found), *KFP_IMAGES]


def with_digests(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """The names, those by tag with the digest that their registry tells; and a line for each that keeps its tag."""
    found, kept = [], []
    for name in names:
        try:
            found.append(name if "@" in name else with_digest(name))
        except RegistryError as error:
            found.append(name)
            kept.append(f"{name} is named by tag: {error}")
    return found, kept


def _ours(profile: Profile, digests: Path | None) -> Iterator[str]:
    # vLLM's own engine has an image of its own, which a recipe may choose.
    for arguments in ({}, {"score_engine": "vllm"}):
        name = image_names(arguments, profile, digests)
        for verb, image in images.IMAGE_OF.items():
            yield name(verb, image)
