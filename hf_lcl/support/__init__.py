"""What several rooms need: files that are never half there, checkpoints, tables, optional packages."""
