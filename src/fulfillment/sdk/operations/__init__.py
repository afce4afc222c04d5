"""Every operation of the API, described once: path, parameters, body, and what comes back."""
