"""Settings of the whole suite. Hand-made rollouts come from `tests.builders`."""

from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

from tests.kept import copied_store, keep_what_is_composed

keep_what_is_composed()

# Nothing here measures time, so a slow machine must not fail a property.
settings.register_profile("vigorl", deadline=None, max_examples=50)
settings.load_profile("vigorl")

# Every call in the rooms of tensors is compared with its signature, shapes too. Only in this
# process: doors that a test starts, and the workers of vLLM, run as they do for a user.
SHAPED = [
    "vigorl.models",
    "vigorl.data.images",
    "vigorl.data.collate",
    "vigorl.rollout.engines.kv_cache",
    "vigorl.rollout.engines.sampling",
]
install_import_hook(
    SHAPED, "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
)  # an int is a float, as PEP 484 says


@pytest.fixture(autouse=True)
def no_store_of_another_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow keeps the store of the last run in the environment, where the settings look first."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def copied_stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A new store of MLflow is a copy, for modules that are not about how one is made."""
    from vigorl import mlflow_store  # takes seconds

    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.getbasetemp() / "store"
        patch.setattr(mlflow_store, "_make", copied_store(mlflow_store._make, folder))
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files with the most slow tests first: with `--dist loadfile --no-loadscope-reorder` a
    file is one process's, and the last ones to be handed out should be short.
    """
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])
