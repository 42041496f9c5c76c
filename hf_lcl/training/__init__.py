"""What a trainer does between a constructor and a finished model: prepare, draw batches, start, take steps, search."""
