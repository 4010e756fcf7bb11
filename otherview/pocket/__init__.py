"""The pocket model: a small FLUX.2 Klein that was trained to take perspectives in a toy kitchen.

`creatures`, `vision`, `strokes`, `sprites` and `world` make the pictures, `words` the prompts.
`rendering` asks a checkpoint for pictures, and `scoring` compares them with the right ones.
`scripts/train_pocket.py` trains the checkpoints, and `scripts/evaluate_pocket.py` prints the table
of the model card (docs/pocket.md).
"""
