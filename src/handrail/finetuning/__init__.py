"""Fine-tuning: a model that writes, taught to write like some text, or to answer like some conversations."""
