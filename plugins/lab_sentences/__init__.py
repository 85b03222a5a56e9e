"""Classification of texts: labelled texts, encoders, and poolings."""
