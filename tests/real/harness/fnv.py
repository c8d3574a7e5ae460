"""The checksum that the toy backend `upload` reports."""


def fnv1a(data):
    """64-bit FNV-1a as sixteen hexadecimal digits."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"
