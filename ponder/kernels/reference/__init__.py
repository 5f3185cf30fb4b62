"""The same as the C++ in readable numpy: the oracle of the tests, not fast."""
