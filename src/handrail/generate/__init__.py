"""Many continuations at once: settings, sampling, stops, and the batch they join and leave."""
