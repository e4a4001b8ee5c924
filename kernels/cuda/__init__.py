"""The CUDA kernels: .cu files to be read, compiled when they are first used (see ../cuda_calls)."""
