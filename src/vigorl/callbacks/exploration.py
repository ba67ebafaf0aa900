"""Sets how each phase explores before its rollouts begin."""

from __future__ import annotations

import lightning as L

from vigorl.callbacks.rollout import RolloutCallback
from vigorl.core.errors import ConfigError
from vigorl.core.protocols import Progress
from vigorl.rollout.environment import Environment
from vigorl.rollout.exploration import NoiseSchedule, TemperatureSchedule
from vigorl.training.policy_gradient_module import PolicyGradientModule


class Exploration(L.Callback):
    """Gives the rollout callback, before which it stands, each phase's temperature and noise.

    The module takes its logprobs at the temperature of the phase: what was sampled is what is
    learned. Evaluations see nothing of either. Logs `explore/temperature`, and `explore/sigma` and
    `explore/frac` of the noise.

    Args:
        temperature: In place of `env.temperature`; None stays there.
        noise: Which rollouts see noise; None nobody.
    Raises:
        ConfigError: There is neither.
    """

    def __init__(
        self,
        *,
        temperature: TemperatureSchedule | None = None,
        noise: NoiseSchedule | None = None,
    ) -> None:
        if temperature is None and noise is None:
            raise ConfigError("exploration has no effect without temperature and noise; set none")
        self.temperature, self.noise = temperature, noise
        self._rollout: RolloutCallback | None = None
        self._base: Environment | None = None

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        for callback in trainer.callbacks:  # pyright: ignore[reportAttributeAccessIssue]
            if isinstance(callback, RolloutCallback):
                self._rollout, self._base = callback, callback.environment
                callback.learns_noise = self.noise is not None and self.noise.is_learned

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._rollout is None or self._base is None:
            return
        if not isinstance(pl_module, PolicyGradientModule):
            raise ConfigError("exploration has no effect on SFT: it is for phases of rollouts")
        progress = Progress(trainer.current_epoch, max(trainer.max_epochs or 1, 1))
        schedule = self.temperature
        temperature = schedule.at(progress) if schedule else self._base.temperature
        branch = self.noise.at(progress) if self.noise else None
        self._rollout.environment = self._base.exploring(temperature=temperature, noise=branch)
        pl_module.temperature = temperature
        metrics = {"explore/temperature": temperature}
        if branch is not None:
            metrics |= {"explore/sigma": branch.sigma, "explore/frac": branch.frac}
        for logger in trainer.loggers:
            logger.log_metrics(metrics, step=trainer.global_step)
