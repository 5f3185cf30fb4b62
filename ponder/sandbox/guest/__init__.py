"""What runs on the untrusted side. Standard library (and IPython, in the kernel) only: Ponder is not there."""
