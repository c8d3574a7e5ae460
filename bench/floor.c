/* The floor: a relay that knows nothing of HTTP, to show what moving the bytes alone costs on this kernel.
 *
 * One thread. It accepts a client, connects one backend connection for it, and passes bytes both ways until both sides
 * have ended. `floor poll PORT` waits with poll(2), `floor epoll PORT` with a level-triggered epoll; all else is the
 * same code.
 *
 * Invariant: a direction holds bytes only after a short write; while it does, its source is not read.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FDS_MAX = 65536, BUFFER_BYTES = 65536, EVENTS = 512 };

/* The direction that reads from the descriptor under which it stands. */
struct way {
    int peer; /* whom it writes to */
    int ended; /* the source has said its last byte */
    char *held; /* what a short write has left over */
    size_t from, to;
};

static struct way *ways[FDS_MAX];
static char buffer[BUFFER_BYTES];
static struct sockaddr_in backend;
static int listener, set = -1; /* set: the epoll instance, or -1 for poll */
static struct pollfd polled[FDS_MAX];
static int fds_end;

static void die(const char *what) { perror(what); exit(1); }

/* What is waited for on a descriptor is derived from its two directions, as in Pollux. */
static short wanted(int fd) {
    struct way *in = ways[fd], *out = ways[in->peer];
    return (!in->ended && in->from == in->to ? POLLIN : 0) | (out->from < out->to ? POLLOUT : 0);
}

static void watch(int fd, int op) {
    /* POLLIN and POLLOUT have the values of EPOLLIN and EPOLLOUT. */
    struct epoll_event event = { .events = op == EPOLL_CTL_ADD ? POLLIN : wanted(fd), .data.fd = fd };
    if (set >= 0 && epoll_ctl(set, op, fd, &event) < 0) die("epoll_ctl");
}

static void add(int fd, int peer) {
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ways[fd] = calloc(1, sizeof *ways[fd]);
    ways[fd]->peer = peer;
    if (fd >= fds_end) fds_end = fd + 1;
    watch(fd, EPOLL_CTL_ADD);
}

static void admit(void) {
    int client = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client < 0) return;
    /* Blocking: on the loopback the connection stands when the call returns. */
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || client >= FDS_MAX || fd >= FDS_MAX || connect(fd, (struct sockaddr *)&backend, sizeof backend) < 0) {
        perror("floor: a client is turned away");
        close(client);
        if (fd >= 0) close(fd);
        return;
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    add(client, fd);
    add(fd, client);
}

static void end(int fd) {
    int pair[2] = { fd, ways[fd]->peer };
    for (int i = 0; i < 2; i++) {
        free(ways[pair[i]]->held);
        free(ways[pair[i]]);
        ways[pair[i]] = NULL;
        close(pair[i]);
    }
}

/* Writes `bytes`; returns how many have gone, or -1 when the peer is lost. */
static ssize_t put(int fd, const char *bytes, size_t len) {
    ssize_t count = send(fd, bytes, len, MSG_NOSIGNAL);
    return count < 0 && errno == EAGAIN ? 0 : count;
}

/* Returns 0 when the pair is gone. */
static int finish(int fd) {
    struct way *way = ways[fd];
    if (!way->ended || way->from < way->to) return 1;
    if (ways[way->peer]->ended && ways[way->peer]->from == ways[way->peer]->to) { end(fd); return 0; }
    shutdown(way->peer, SHUT_WR);
    return 1;
}

static int pull(int fd) {
    struct way *way = ways[fd];
    ssize_t got = recv(fd, buffer, sizeof buffer, 0);
    if (got < 0 && errno == EAGAIN) return 1;
    if (got < 0) { end(fd); return 0; }
    if (got == 0) {
        way->ended = 1;
        if (!finish(fd)) return 0;
        watch(fd, EPOLL_CTL_MOD);
        return 1;
    }
    ssize_t put_len = put(way->peer, buffer, got);
    if (put_len < 0) { end(fd); return 0; }
    if (put_len < got) {
        if (!way->held && !(way->held = malloc(BUFFER_BYTES))) die("malloc");
        memcpy(way->held, buffer + put_len, got - put_len);
        way->from = 0;
        way->to = got - put_len;
        watch(fd, EPOLL_CTL_MOD);
        watch(way->peer, EPOLL_CTL_MOD);
    }
    return 1;
}

static int push(int fd) {
    int source = ways[fd]->peer;
    struct way *way = ways[source];
    ssize_t count = put(fd, way->held + way->from, way->to - way->from);
    if (count < 0) { end(fd); return 0; }
    way->from += count;
    if (way->from < way->to) return 1;
    if (!finish(source)) return 0;
    watch(fd, EPOLL_CTL_MOD);
    watch(source, EPOLL_CTL_MOD);
    return 1;
}

static void handle(int fd, int events) {
    if (fd == listener) { admit(); return; }
    /* An earlier event of the same batch may have ended this pair. */
    if (!ways[fd]) return;
    int waits = wanted(fd);
    /* A descriptor that hangs up without being waited for would be reported for ever. */
    if (!waits && events & (POLLHUP | POLLERR)) { end(fd); return; }
    if (waits & POLLOUT && events & (POLLOUT | POLLERR | POLLHUP) && !push(fd)) return;
    if (waits & POLLIN && events & (POLLIN | POLLHUP | POLLERR)) pull(fd);
}

static void turn_of_poll(void) {
    int count = 0;
    polled[count++] = (struct pollfd){ .fd = listener, .events = POLLIN };
    for (int fd = 0; fd < fds_end; fd++)
        if (ways[fd]) polled[count++] = (struct pollfd){ .fd = fd, .events = wanted(fd) };
    if (poll(polled, count, -1) < 0 && errno != EINTR) die("poll");
    for (int i = 0; i < count; i++)
        if (polled[i].revents) handle(polled[i].fd, polled[i].revents);
}

static void turn_of_epoll(void) {
    struct epoll_event events[EVENTS];
    int count = epoll_wait(set, events, EVENTS, -1);
    if (count < 0 && errno != EINTR) die("epoll_wait");
    for (int i = 0; i < count; i++) handle(events[i].data.fd, events[i].events);
}

int main(int argc, char **argv) {
    int is_epoll = argc == 3 && !strcmp(argv[1], "epoll");
    if (argc != 3 || (!is_epoll && strcmp(argv[1], "poll"))) {
        fprintf(stderr, "usage: floor poll|epoll BACKEND_PORT\n");
        return 2;
    }
    backend = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(atoi(argv[2])) };
    inet_pton(AF_INET, "127.0.0.1", &backend.sin_addr);
    struct sockaddr_in own = { .sin_family = AF_INET, .sin_addr = backend.sin_addr };
    socklen_t len = sizeof own;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&own, len) < 0 || listen(listener, 4096) < 0) die("listen");
    getsockname(listener, (struct sockaddr *)&own, &len);
    if (is_epoll && (set = epoll_create1(EPOLL_CLOEXEC)) < 0) die("epoll_create1");
    struct epoll_event event = { .events = EPOLLIN, .data.fd = listener };
    if (is_epoll && epoll_ctl(set, EPOLL_CTL_ADD, listener, &event) < 0) die("epoll_ctl");
    printf("listening on 127.0.0.1:%d\n", ntohs(own.sin_port));
    fflush(stdout);
    for (;;) is_epoll ? turn_of_epoll() : turn_of_poll();
}
