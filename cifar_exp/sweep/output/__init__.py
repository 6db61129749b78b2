"""What a sweep leaves: tables, the best network, plots, the live display."""
