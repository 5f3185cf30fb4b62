"""Matrices of files -> `Tensor` (`pack`), and -> the panels that the native kernels read (`panels`)."""
