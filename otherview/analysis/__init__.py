"""The contrasts of a study, tested, and the tables and summary of that."""
