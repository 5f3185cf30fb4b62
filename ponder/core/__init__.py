"""Values that every room speaks: messages, stream events, parameters, errors. No I/O, no model."""
