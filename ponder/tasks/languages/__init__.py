"""The same in many languages: sums, names, translation; and in which language a text is."""
