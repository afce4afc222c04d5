"""The schema over time: two starters at once, a kill in the middle, the release before on the new schema."""
