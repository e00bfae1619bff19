"""What every experiment computes with: seeds, devices, memory, CUDA graphs, kernels."""
