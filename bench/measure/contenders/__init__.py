"""Who is measured. Every contender is set up alike: see `base`.

A new one is a line in `CONTENDERS`. A variant of one that is there differs in its options, for example
`pollux.variant("pollux-big", "--buffer", "256KiB")`; it takes part only if the binary under test knows its first flag.
"""

from . import caddy, envoy, floor, haproxy, nginx, pollux, traefik

CONTENDERS = {
    contender.name: contender
    for contender in (
        pollux.CONTENDER,
        pollux.variant("pollux-poll", "--poller", "poll"),
        # Two workers on the one core: what they cost more than one is what they would lack of twice as much on two.
        pollux.variant("pollux-two", "--threads", "2", group="crew"),
        nginx.CONTENDER,
        haproxy.CONTENDER,
        haproxy.SPLICE,
        envoy.CONTENDER,
        traefik.CONTENDER,
        caddy.CONTENDER,
        floor.POLL,
        floor.EPOLL,
    )
}
