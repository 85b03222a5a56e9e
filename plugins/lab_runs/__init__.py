"""Looking into the store: what was run, why two runs differ, and the same run again."""
