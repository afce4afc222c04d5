"""Judges that are not ours: linters, differs, OAuth clients and verifiers of others, a pooler, long fuzzing."""
