"""What heads do: edit what they write, and see what becomes of the prediction."""

FILES = ("interventions.json", "interventions.parquet", "renderings.png")
"""What an intervention leaves in a run's folder."""
