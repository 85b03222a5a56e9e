"""A report section: the arms in order."""
