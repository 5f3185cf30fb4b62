"""Files to texts: one module for each kind of file. `texts_of` is the way in."""
