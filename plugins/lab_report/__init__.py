"""The report of a study: one HTML page, tables for papers, rows for spreadsheets."""
