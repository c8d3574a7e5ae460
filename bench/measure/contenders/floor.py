"""The floor: a blind relay, which knows nothing of HTTP; see floor.c."""

from .base import Contender, ready


def variant(name, poller):
    def start(setup):
        command = [setup.tools.floor, poller, setup.backend.split(":")[1]]
        return ready(setup.run(name, command, says_address=True))

    def absent(tools, _mode):
        return None if tools.floor else "there is no C compiler (cc)"

    return Contender(name, "floor", start, absent)


POLL = variant("floor-poll", "poll")
EPOLL = variant("floor-epoll", "epoll")
