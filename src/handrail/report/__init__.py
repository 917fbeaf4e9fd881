"""What is known of a model, for people: one HTML file, plain lines for the terminal, judgements in words."""
