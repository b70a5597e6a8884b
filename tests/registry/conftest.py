"""What the gate decided, and an empty registry."""

from tests.promotion.conftest import empty_registry, evaluations, promotion, registry  # noqa: F401 (fixtures)
