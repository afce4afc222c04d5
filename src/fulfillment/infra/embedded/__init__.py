"""The parts of `infra.postgres`: account, programs, places, creation and leftovers of a cluster. Linux only.

Three promises: a kill -9 at any moment is no obstacle to the next start; what runs is judged by connecting
and by looking at processes, never by pid files; nobody but the operating system's users that started it gets
in (peer authentication over a private socket, no TCP port).
"""
