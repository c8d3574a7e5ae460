"""Server-Sent Events: each arrives when it is sent, not when the response ends."""

import subprocess
import threading

from harness.client import connect, get, read_chunks
from harness.scripted import ScriptedBackend, read_head

EVENTS = 5


def test_each_event_arrives_before_the_next_is_sent(pollux):
    seen = threading.Semaphore(0)

    def send_events(connection):
        read_head(connection)
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        for number in range(EVENTS):
            event = f"data: {number}\n\n".encode()
            connection.sendall(b"%x\r\n%b\r\n" % (len(event), event))
            # A proxy that holds the event back until there is more waits here for ever.
            assert seen.acquire(timeout=20), f"event {number} did not arrive"
        connection.sendall(b"0\r\n\r\n")

    with ScriptedBackend(send_events) as backend:
        proxy = pollux(backend)
        with connect(proxy.address) as connection:
            connection.sendall(get())
            stream = connection.makefile("rb")
            while stream.readline() != b"\r\n":
                pass
            for number, event in enumerate(read_chunks(stream)):
                assert event == f"data: {number}\n\n".encode()
                seen.release()
            assert number == EVENTS - 1


def test_curl_reads_a_stream_of_events(pollux, toy):
    proxy = pollux(toy("sse:3/50ms"))
    command = ["curl", "--silent", "--no-buffer", "--noproxy", "*", "--max-time", "20", proxy.url()]
    done = subprocess.run(command, capture_output=True)
    assert done.returncode == 0
    assert done.stdout.count(b"data:") == 3
