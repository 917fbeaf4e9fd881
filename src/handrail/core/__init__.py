"""What everything else stands on: errors, events, values, the signature, the bundle, files."""
