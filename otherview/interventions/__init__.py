"""What heads do: edit what they write, and see what becomes of the prediction."""
