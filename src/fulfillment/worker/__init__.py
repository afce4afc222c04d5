"""The background process: the one list of jobs and the loop that runs them. Owns no table and no rule."""
