"""The image of each component: one for each dependency set, and the one place that names them.

Components name images by tag, as `make images` builds them. A compiled pipeline can name them in a registry, by digest.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from storm_core import __version__
from storm_core.errors import InputError

# What needs no model code: choosing, merging tensors, gates, reports.
CORE = f"storm-core:{__version__}"
# What needs transformers or lm-eval: reading data, converting, judging, training, quantizing, lm-eval.
TRAINING = f"storm-training:{__version__}"
# What runs a model with vLLM, whose pins of transformers and compressed-tensors are not ours.
VLLM = f"storm-vllm:{__version__}"

IMAGES = (CORE, TRAINING, VLLM)
# The builds with CUDA libraries, for GPUs. What is in CORE computes on processors alone.
CUDA_OF: Mapping[str, str] = {image: f"{image}-cuda" for image in (TRAINING, VLLM)}

IMAGE_OF: Mapping[str, str] = {
    "fetch": TRAINING,
    # The evaluations' own data is read with their own harness, to hold it out.
    "prepare": TRAINING,
    "score": TRAINING,
    "select": CORE,
    "audit": TRAINING,
    "scan": CORE,
    "train": TRAINING,
    "merge": CORE,
    "quantize": TRAINING,
    "evaluate": TRAINING,
    "gate": CORE,
    "register": CORE,
    "report": CORE,
}
# Where `docker buildx bake --metadata-file` writes the digest that the registry knows the image by.
_DIGEST = "containerimage.digest"


def chosen_by(arguments: Mapping[str, Any]) -> dict[str, str]:
    """Image by verb, where these run arguments ask for another than the verb's component names."""
    # What asks the judge; the audit does it as `score` did.
    return {"score": VLLM, "audit": VLLM} if arguments.get("score_engine") == "vllm" else {}


def pinned(registry: str, metadata: Path | None = None) -> dict[str, str]:
    """The name to pull each image by: `<registry>/<name>:<tag>`, and with `metadata` also `@<digest>`.

    Args:
        registry: host and path, such as `ghcr.io/someone`.
        metadata: what `make images` or `docker buildx bake` wrote when it pushed: JSON with the digest of each target.

    Raises:
        InputError: the metadata cannot be read, or holds no digest for an image.
    """
    prefix = registry.rstrip("/") + "/"
    known = (*IMAGES, *CUDA_OF.values())
    if metadata is None:
        return {image: prefix + image for image in known}
    digests = _read_digests(metadata)
    return {image: f"{prefix}{image}@{digests[image]}" for image in known if image in digests}


def _read_digests(metadata: Path) -> dict[str, str]:
    """Digest of each image in a metadata file, by the image's name without registry."""
    try:
        targets = json.loads(metadata.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read the image digests {metadata}: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{metadata} is not JSON: {error}") from error
    digests = {}
    for target in targets.values() if isinstance(targets, dict) else []:
        for name in str(target.get("image.name", "")).split(",") if isinstance(target, dict) else []:
            if name and _DIGEST in target:
                digests[name.rpartition("/")[2]] = target[_DIGEST]
    if not digests:
        raise InputError(f"{metadata} holds no digest; it must be what the build wrote after `docker push`")
    return digests
