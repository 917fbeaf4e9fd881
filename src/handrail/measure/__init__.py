"""How good: metrics, intervals and curves, in numpy alone, because scoring ships."""
