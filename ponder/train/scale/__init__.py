"""What large models need besides: balanced experts, more processes, laws of size, plans."""
