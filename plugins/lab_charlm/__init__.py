"""`lab_charlm`: character language models: text in streams, recurrent models, generation."""
