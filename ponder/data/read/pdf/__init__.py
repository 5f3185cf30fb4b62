"""PDF files: characters with their places, their order on the page, the whole document."""
