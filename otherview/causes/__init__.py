"""What heads do: edit their output and measure the change of the prediction."""

FILES = ("interventions.json", "interventions.parquet", "renderings.png")
"""Files of an intervention in the folder of a run."""
EDGES = "edges.json"
"""Through which heads the called heads act."""
