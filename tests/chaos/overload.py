"""placeholder"""


def play(seed):
    return []
