"""Pictures and words in one space: a net learns where the name of what it sees lies, and both search each other."""
