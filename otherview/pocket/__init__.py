"""The pocket model: a small FLUX.2 Klein that was trained to take perspectives in a toy kitchen.

`creatures`, `strokes`, `sprites` and `world` make the pictures, `words` the prompts, `codec` and
`networks` the parts of the pipeline, `train` the weights, `planting` the known mechanism, and
`evaluate` the table of the model card (docs/pocket.md).
"""
