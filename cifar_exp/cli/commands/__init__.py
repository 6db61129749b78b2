"""The commands: each calls the API and prints the outcome."""
