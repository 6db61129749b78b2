"""Runs side by side: read from their directories, laid out as tables and charts, written as Markdown and HTML.

No data and no torch is needed, except for the pictures of predictions.
"""
