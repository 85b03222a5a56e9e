"""`lab_devise`: pictures and words in one space (DeViSE)."""
