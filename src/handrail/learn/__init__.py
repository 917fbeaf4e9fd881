"""What fits share: the clock, folds, checkpoints, heads, ensembles, calibration. Only fits import it."""
