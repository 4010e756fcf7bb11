"""Which attention heads of a diffusion transformer answer to a change of viewpoint?"""

__version__ = "0.1.0"
