"""Values to arrays, used by both halves of a task: columns, n-grams, word pieces."""
