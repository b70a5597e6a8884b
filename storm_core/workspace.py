"""What a long stage leaves for its next attempt: parts, kept where outputs go, until the run is whole or for good."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from storm_core.stores.parts import Parts


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """Given to the `run` function of a stage that is declared `resumable`.

    Attributes:
        run_key: identity of the run: verb, code, packages, config and inputs.
        open_parts: the parts under a key.
    """

    run_key: str
    open_parts: Callable[[str], Parts]

    def of_run(self) -> Parts:
        """Parts of this very run; they are removed once its outputs are published."""
        return self.open_parts(self.run_key)

    def shared(self, identity: Mapping[str, Any]) -> Parts:
        """Parts that other runs of equal `identity` (JSON values) share; they stay after the run."""
        return self.open_parts(hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest())
