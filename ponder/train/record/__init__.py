"""What a run leaves for people: a line of numbers a step, what the model says, TensorBoard's files."""
