"""What the contenders are given to do."""

import dataclasses

KIB, MIB = 1024, 1024 * 1024
PROXIES = ("pollux", "debian", "package")
EVERYONE = (*PROXIES, "floor")


@dataclasses.dataclass(frozen=True)
class Workload:
    name: str
    title: str
    # "wrk" and "paced" load contenders that keep running; "memory" and "start" start one anew for each figure.
    kind: str = "wrk"
    mode: str = "http"
    connections: int = 64
    response_bytes: int = 100
    upload_bytes: int = 0
    # The client asks for the end of the connection with each request.
    closing: bool = False
    # Keep-alive connections that are held beside the busy ones.
    idle: int = 0
    # Which contenders take part, by group.
    groups: tuple = EVERYONE

    @property
    def path(self):
        return f"/size/{self.response_bytes}"

    @property
    def body_bytes(self):
        """What a request moves, where that is what matters."""
        return max(self.upload_bytes, self.response_bytes if self.response_bytes > KIB else 0)

    def takes(self, contender):
        return contender.group in self.groups and (bool(self.body_bytes) or not contender.bodies_only)


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("small-1", "small responses, 1 connection", connections=1),
        Workload("small-64", "small responses, 64 connections"),
        Workload("small-512", "small responses, 512 connections", connections=512),
        # A blind relay passes the end on and needs a backend connection for each request, so it is no floor here.
        Workload("close", "a connection per request, 64 at once", closing=True, groups=PROXIES),
        Workload("down-64k", "64 KiB responses, 64 connections", response_bytes=64 * KIB),
        Workload("down-1m", "1 MiB responses, 64 connections", response_bytes=MIB),
        Workload("up-1m", "1 MiB uploads, 64 connections", upload_bytes=MIB),
        Workload("tcp-64", "TCP mode, small responses, 64 connections", mode="tcp"),
        Workload("two-workers", "one worker and two, 64 connections", groups=("pollux", "crew")),
        Workload("idle-5000", "64 busy beside 5,000 idle connections", idle=5000),
        Workload(
            "paced",
            "a fixed rate: half of what the slowest of Pollux, nginx and HAProxy can do",
            kind="paced",
            groups=("pollux", "debian", "floor"),
        ),
        Workload("paced-all", "a fixed rate: half of what the slowest of all can do", kind="paced"),
        Workload("memory", "resident memory per idle connection", kind="memory", idle=5000, groups=PROXIES),
        Workload("start", "from exec to the first answer", kind="start"),
    )
}
