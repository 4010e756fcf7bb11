"""Sweeps: many points of studies, on this machine or on Slurm, none of which is ever lost.

The files of the points are the truth. A submission freezes what is planned, a task works through
its share, and everything else is read from the points' own folders.
"""
