import fcntl
from pathlib import Path

import pytest

from pipelines.run import _only_run_in
from storm_core.errors import InputError


def test_second_run_in_the_same_directory_is_refused(tmp_path: Path) -> None:
    with (tmp_path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="another run is under way"), _only_run_in(tmp_path):
            pass
    with _only_run_in(tmp_path):
        pass
