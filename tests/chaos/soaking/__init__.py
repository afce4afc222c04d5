"""Hours of load: who drives it, who listens, what is looked at, and what is said about it in the end."""
