"""Results in Weights & Biases: read from the files of a result, sent by a process of its own."""
