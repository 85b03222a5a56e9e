"""Command that counts the runs of a study."""
