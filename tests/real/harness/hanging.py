"""A mount that answers nobody: whoever looks at a file of it waits. Run in the mount namespace of whom it is for:

    nsenter --mount --target PID python3 hanging.py DIRECTORY

It says `mounted`, and lasts until its standard input ends.
"""

import ctypes
import os
import sys


def main(directory):
    # FUSE without anybody behind it: even the first question, FUSE_INIT, stays without an answer.
    fuse = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    data = f"fd={fuse},rootmode=40000,user_id={os.geteuid()},group_id={os.getegid()}".encode()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"hanging", os.fsencode(directory), b"fuse", 0, data) != 0:
        raise OSError(ctypes.get_errno(), "mount", directory)
    print("mounted", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1])
