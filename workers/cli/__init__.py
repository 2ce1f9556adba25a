"""The command line: a module per noun; `main` assembles them."""
