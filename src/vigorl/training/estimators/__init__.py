"""Advantage estimators: from a phase's rewards to what each sampled token is credited with; one
file per estimator, each an `estimator.Estimator`. `algorithms.group_relative` runs them.
"""
