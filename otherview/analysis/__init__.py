"""Other contrasts measured beside a study's own: would any two wordings do that?"""
