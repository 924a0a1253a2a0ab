"""Training methods: a target, a weight and a loss, put together by the objective."""

from robustdl_lib.methods import losses, targets, stateful, weights, objective  # isort: skip

__all__ = ["losses", "objective", "stateful", "targets", "weights"]
