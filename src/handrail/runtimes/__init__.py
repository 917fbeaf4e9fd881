"""What executes weights: arrays in, arrays out."""
