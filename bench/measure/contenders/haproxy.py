"""HAProxy, as Debian packages it, with and without splicing of bodies."""

from ..processes import listening_socket, tool
from .base import CLIENTS_MAX, IDLE_S, Contender, missing

# HAProxy sets TCP_NODELAY on every connection by itself. The pool ratios keep it from giving up keep-alive to the
# backend because many clients are idle, which no other proxy does.
CONFIG = """\
global
    nbthread {threads}
    maxconn {clients_max}
    tune.pool-low-fd-ratio 90
    tune.pool-high-fd-ratio 95
defaults
    mode {mode}
    {options}
    timeout connect 5s
    timeout client {idle_s}s
    timeout server {idle_s}s
frontend clients
    bind fd@{fd}
    default_backend backends
backend backends
    server lean {backend}
"""
KEEP_ALIVE = ["option http-keep-alive", "http-reuse always"]


def variant(name, *more_options, bodies_only=False):
    def start(setup):
        options = [*(KEEP_ALIVE if setup.mode == "http" else []), *more_options]
        with listening_socket() as listener:
            address = "127.0.0.1:{1}".format(*listener.getsockname())
            fd = listener.fileno()
            text = CONFIG.format(
                threads=setup.threads,
                clients_max=CLIENTS_MAX,
                mode=setup.mode,
                options="\n    ".join(options),
                idle_s=IDLE_S,
                fd=fd,
                backend=setup.backend,
            )
            config = setup.write(f"{name}.cfg", text)
            return setup.run(name, [tool("haproxy"), "-db", "-q", "-f", config], keep_fds=[fd]), address

    def absent(_tools, _mode):
        return missing("haproxy")

    return Contender(name, "debian", start, absent, lambda tools: [tool("haproxy"), "-v"], bodies_only)


CONTENDER = variant("haproxy")
SPLICE = variant("haproxy-splice", "option splice-auto", bodies_only=True)
