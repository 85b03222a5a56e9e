"""`lab_tabular`: tables: processors, entity embeddings, trees beside nets."""
