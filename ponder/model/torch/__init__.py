"""The torch op set, for training: autograd through the one forward pass, on any device. Needs the [train] extra."""
