"""What a hostile world sends: files, rows, requests."""
