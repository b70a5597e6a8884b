"""An empty registry, for the families that go through every stage."""

from tests.promotion.conftest import empty_registry, registry  # noqa: F401 (fixtures)
