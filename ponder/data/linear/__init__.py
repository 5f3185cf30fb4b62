"""Linear models on hashed n-grams, with numpy alone: the language identifier and the annotator are of this kind."""
