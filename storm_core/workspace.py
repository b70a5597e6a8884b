"""What a long stage leaves for its next attempt: partial results, kept where outputs go until the run is whole."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from storm_core.stores.partial_results import PartialResults


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """Given to the `run` function of a stage that is declared `resumable`.

    Attributes:
        run_key: identity of the run: verb, code, packages, config and inputs.
        open_partial_results: the partial results under a key.
    """

    run_key: str
    open_partial_results: Callable[[str], PartialResults]

    def of_run(self) -> PartialResults:
        """Partial results of this very run; they are removed once its outputs are published."""
        return self.open_partial_results(self.run_key)

    def shared(self, identity: Mapping[str, Any]) -> PartialResults:
        """PartialResults that other runs of equal `identity` (JSON values) share; they stay after the run."""
        return self.open_partial_results(hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest())
