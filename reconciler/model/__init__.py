"""The frozen nouns that the rooms hand on. Nothing here decides, reads or writes."""
