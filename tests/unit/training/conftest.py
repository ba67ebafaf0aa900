from tests.unit.rollout.world import world

__all__ = ["world"]
