"""What a store's user may not do. What is only tidied up stays for `storm artifact gc` where its removal is denied."""

from collections.abc import Callable

from storm_core.errors import StoreError
from storm_core.progress import report


class MissingRightError(StoreError):
    """The store's server denies a request to this user; the message names the request, the place and the right."""


class Tidying:
    """Removes what is needed no more, as far as the store's user may; of the rest a line is written, once."""

    def __init__(self, store_uri: str) -> None:
        self._store_uri = store_uri
        self._is_said = False

    def tidied(self, remove: Callable[[], None]) -> bool:
        """Whether `remove`, which raises `MissingRightError` where it may not, did remove it."""
        try:
            remove()
        except MissingRightError as error:
            if not self._is_said:
                self._is_said = True
                report(f"what is over stays in {self._store_uri} for `storm artifact gc` of a user who may: {error}")
            return False
        return True
