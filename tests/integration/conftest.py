import pytest


@pytest.fixture(autouse=True, scope="module")
def no_store_from_nothing(copied_stores: None) -> None:
    """One is made so in `tests/unit/test_mlflow_store.py` and by the golden doors."""
