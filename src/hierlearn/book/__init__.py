"""The book: where its files lie, what a notebook calls, executing notebooks, building the site."""
