"""Studies on an accelerator, without one: a device of torch that computes on the CPU.

It has its own memory as far as a program can tell. What a GPU refuses is refused: operations on
tensors of both memories, NumPy arrays of the device's tensors. Numbers are those of the CPU. That
is all it can show: nothing of speed, memory or precision. Where a CUDA device is, the studies run
there, too.
"""

DEVICE = "ACCELERATOR_OF_TESTS"
"""Environment variable: the device of the cases, where it is not the simulated one."""
