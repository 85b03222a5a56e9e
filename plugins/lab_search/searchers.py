"""Searchers of ``Study.search``: random, quasi-random, and samplers of Optuna (Akiba et al. 2019, arXiv:1907.10902).

They are stateless: proposals depend only on the earlier trials and the seed.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lab.errors import ParameterError
from lab.study.space import ObservedTrial, Options, Range, Space

if TYPE_CHECKING:
    import optuna

__all__ = ["TPE", "GaussianProcess", "QuasiRandom", "Random"]


class Random:
    """Random search: independent draws, uniform on the scale of a range. The baseline for all other searchers.

    Bergstra & Bengio 2012, JMLR 13.
    """

    def propose(self, space: Space, seen: Sequence[ObservedTrial], count: int, seed: int) -> list[dict[str, Any]]:
        """Return the next draws of the sequence of this seed, whatever the earlier results were."""
        shares = np.random.default_rng(seed).random((len(seen) + count, len(space)))[len(seen) :]
        return _settings(space, shares)


class QuasiRandom:
    """Scrambled Sobol sequence: like random search, but spread more evenly. Good for the importance of settings.

    Sobol 1967; Owen 1998; ``scipy.stats.qmc.Sobol``.
    """

    def propose(self, space: Space, seen: Sequence[ObservedTrial], count: int, seed: int) -> list[dict[str, Any]]:
        """Return the next points of the sequence of this seed."""
        from scipy.stats import qmc

        points = qmc.Sobol(len(space), rng=np.random.default_rng(seed))
        if seen:
            points.fast_forward(len(seen))
        # One by one: scipy warns unless the number of points is a power of two.
        return _settings(space, np.stack([points.random(1)[0] for _ in range(count)]))


class _OfOptuna:
    """Base class of samplers of Optuna, which get all earlier trials in every call.

    Args:
        first: number of random trials before the first estimate, at least 1.
    """

    def __init__(self, *, first: int = 10) -> None:
        if first < 1:
            raise ParameterError(f"first must be at least 1, got {first}", where="searcher")
        self.first = first

    def sampler(self, seed: int) -> optuna.samplers.BaseSampler:
        """Return the sampler."""
        raise NotImplementedError

    def propose(self, space: Space, seen: Sequence[ObservedTrial], count: int, seed: int) -> list[dict[str, Any]]:
        """Return the sampler's suggestions after the earlier trials, failed ones included."""
        import optuna

        # Optuna logs every trial, in between the progress of runs.
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        distributions = {path: _distribution(choice) for path, choice in space.items()}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study = optuna.create_study(sampler=self.sampler(_mixed(seed, len(seen))))
        for trial in seen:
            # Rebuilt from the trials in every round, so that an interrupted search proposes the same.
            study.add_trial(_as_optunas(trial, distributions))
        found = []
        for _ in range(count):
            asked = study.ask(distributions)
            found.append(asked.params)
            self.go_on(study, asked)
        return found

    def go_on(self, study: optuna.Study, asked: optuna.trial.Trial) -> None:
        """Act after each proposal of a batch, before the next."""


class TPE(_OfOptuna):
    """Tree-structured Parzen estimator: settings that are likely among good trials and unlikely among the others.

    Bergstra et al. 2011; Optuna's, multivariate, with the constant liar for several trials at a time.

    Args:
        first: number of random trials before the first estimate, at least 1.
    """

    def sampler(self, seed: int) -> optuna.samplers.BaseSampler:
        from optuna.samplers import TPESampler

        return TPESampler(n_startup_trials=self.first, multivariate=True, constant_liar=True, seed=seed)


class GaussianProcess(_OfOptuna):
    """Bayesian optimization with a Gaussian process and expected improvement. Best for few, expensive trials.

    Optuna's ``GPSampler``; its cost is cubic in the number of trials. Within a batch, each proposal is assumed to have
    the mean value of all trials before the next is made (the constant liar of Ginsbourger et al. 2010).

    Args:
        first: number of random trials before the first estimate, at least 1.
    """

    def sampler(self, seed: int) -> optuna.samplers.BaseSampler:
        from optuna.samplers import GPSampler

        return GPSampler(n_startup_trials=self.first, deterministic_objective=False, seed=seed)

    def go_on(self, study: optuna.Study, asked: optuna.trial.Trial) -> None:
        # Optuna's GP has no constant liar of its own.
        values = [trial.value for trial in study.get_trials(deepcopy=False) if trial.value is not None]
        if values:
            study.tell(asked, float(np.mean(values)))


def _settings(space: Space, shares: np.ndarray) -> list[dict[str, Any]]:
    """Map points of the unit cube to settings."""
    return [{path: space[path].at(float(share)) for path, share in zip(space, row, strict=True)} for row in shares]


def _mixed(seed: int, count: int) -> int:
    """Return the seed of a round: the same for the same trials, another after every round."""
    # With one seed for all rounds, a sampler would draw the same candidates again and again.
    return int(np.random.SeedSequence([seed, count]).generate_state(1)[0])


def _distribution(choice: Range | Options) -> optuna.distributions.BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(choice, Options):
        return CategoricalDistribution(list(choice.values))
    if choice.is_whole:
        return IntDistribution(int(choice.low), int(choice.high), log=choice.is_log)
    return FloatDistribution(choice.low, choice.high, log=choice.is_log)


def _as_optunas(trial: ObservedTrial, distributions: dict[str, Any]) -> optuna.trial.FrozenTrial:
    import optuna

    state = optuna.trial.TrialState.FAIL if trial.value is None else optuna.trial.TrialState.COMPLETE
    return optuna.trial.create_trial(
        state=state, params=dict(trial.settings), distributions=distributions, value=trial.value
    )
