"""Checks of type `grpc`: the health service of grpcio, and those of the toy backend."""

import subprocess
from concurrent import futures

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from harness.served import Served

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
def server():
    """Starts a server of grpcio, with TLS if it gets a pair: gives its health servicer and its address."""
    running = []

    def start(pair=None):
        made = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
        servicer = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(servicer, made)
        if pair:
            cert, key = (path.read_bytes() for path in pair)
            port = made.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, cert)]))
        else:
            port = made.add_insecure_port("127.0.0.1:0")
        made.start()
        running.append(made)
        return servicer, f"127.0.0.1:{port}"

    yield start
    for made in running:
        made.stop(None).wait()


@pytest.fixture
def checked(pollux_bin, tmp_path, keep):
    def start(address, check="", pool='protocol = "h2"'):
        file = (
            'control = "control"\n[[listener]]\nbind = "127.0.0.1:0"\npool = "app"\n'
            f'[pool.app]\n{pool}\nbackends = [{{ name = "b1", address = "{address}" }}]\n'
            f'[pool.app.check]\ntype = "grpc"\nstart = "check-first"\ninterval = "50ms"\nfast_interval = "50ms"\n{check}\n'
        )
        return keep(Served(pollux_bin, tmp_path, file, options=["--threads", "1"]))

    return start


def wait(proxy, standing):
    return proxy.wait_for_backend("b1", lambda backend: backend["standing"] == standing)


def test_a_server_is_up_while_it_says_serving(server, checked):
    servicer, address = server()
    proxy = checked(address)
    wait(proxy, "up")
    servicer.set("", NOT_SERVING)
    wait(proxy, "down")
    servicer.set("", SERVING)
    wait(proxy, "up")


def test_a_service_is_asked_about_by_its_name(server, checked):
    servicer, address = server()
    proxy = checked(address, 'service = "shop.Cart"')
    # The server as a whole serves, and knows no such service: NOT_FOUND.
    wait(proxy, "down")
    servicer.set("shop.Cart", SERVING)
    wait(proxy, "up")
    servicer.set("shop.Cart", health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)
    wait(proxy, "down")


@pytest.mark.parametrize("protocol", ["h2", "auto"])
def test_over_tls(server, checked, authority, protocol):
    servicer, address = server(authority.issue("localhost"))
    proxy = checked(address, pool=f'protocol = "{protocol}"\ntls = {{ ca = "{authority.cert}", name = "localhost" }}')
    wait(proxy, "up")
    servicer.set("", NOT_SERVING)
    wait(proxy, "down")


def test_the_toy_serves(checked, toy):
    proxy = checked(toy("echo").host_port)
    wait(proxy, "up")


def test_a_server_without_http2_is_down(checked, nginx, tmp_path):
    wait(checked(nginx(tmp_path)), "down")


def test_a_pool_that_speaks_http1_has_no_such_check(pollux_bin, tmp_path):
    (tmp_path / "proxy.toml").write_text(
        '[[listener]]\nbind = "127.0.0.1:0"\npool = "app"\n[pool.app]\nbackends = ["127.0.0.1:1"]\ncheck = { type = "grpc" }\n'
    )
    done = subprocess.run([pollux_bin, "check", "-c", tmp_path / "proxy.toml"], capture_output=True, text=True)
    assert done.returncode != 0 and "error[P0016]" in done.stderr, done
