"""`lab_search`: searching settings, and which of them matter."""
