"""A training step by written-out back-propagation, with fused kernels and CUDA graphs."""
