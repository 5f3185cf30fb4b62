"""Text that a teacher writes from text that is there: `ponder data write`."""
