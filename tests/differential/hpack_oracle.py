"""Field blocks as two other implementations write and read them: PyPI's hpack, and nghttp2.

It answers lines of standard input with one line each. Bytes are hexadecimal, `-` stands for none.

    new SIZE                         two new encoders and decoders, whose tables hold SIZE bytes
    size SIZE                        the encoders use a table of SIZE bytes from the next block on
    encode WHO NAME:VALUE:SECRET …   ->  the block
    decode WHO BLOCK                 ->  NAME:VALUE …, or `refused`
"""

import ctypes
import sys

import hpack

nghttp2 = ctypes.CDLL("libnghttp2.so.14")
# nghttp2_hd_inflate_hd2: a field has been emitted; the block is at its end.
EMITTED, FINAL = 2, 1
NEVER_INDEX = 1


class Pair(ctypes.Structure):
    """nghttp2_nv."""

    _fields_ = [
        ("name", ctypes.POINTER(ctypes.c_uint8)),
        ("value", ctypes.POINTER(ctypes.c_uint8)),
        ("name_length", ctypes.c_size_t),
        ("value_length", ctypes.c_size_t),
        ("flags", ctypes.c_uint8),
    ]


def array(data):
    return (ctypes.c_uint8 * max(len(data), 1)).from_buffer_copy(data or b"\0")


class Nghttp2:
    def __init__(self, size):
        self.deflater, self.inflater = ctypes.c_void_p(), ctypes.c_void_p()
        assert nghttp2.nghttp2_hd_deflate_new(ctypes.byref(self.deflater), ctypes.c_size_t(size)) == 0
        assert nghttp2.nghttp2_hd_inflate_new(ctypes.byref(self.inflater)) == 0
        if size != 4096:
            assert nghttp2.nghttp2_hd_inflate_change_table_size(self.inflater, ctypes.c_size_t(size)) == 0

    def resize(self, size):
        assert nghttp2.nghttp2_hd_deflate_change_table_size(self.deflater, ctypes.c_size_t(size)) == 0

    def encode(self, fields):
        kept = [(array(name), array(value)) for name, value, _ in fields]
        pairs = (Pair * max(len(fields), 1))()
        for pair, (name, value), field in zip(pairs, kept, fields):
            pair.name, pair.value = ctypes.cast(name, Pair._fields_[0][1]), ctypes.cast(value, Pair._fields_[1][1])
            pair.name_length, pair.value_length = len(field[0]), len(field[1])
            pair.flags = NEVER_INDEX if field[2] else 0
        out = (ctypes.c_uint8 * 200_000)()
        size = nghttp2.nghttp2_hd_deflate_hd(self.deflater, out, ctypes.c_size_t(len(out)), pairs, ctypes.c_size_t(len(fields)))
        assert size >= 0, size
        return bytes(out[:size])

    def decode(self, block):
        fields, pair, flags = [], Pair(), ctypes.c_int(0)
        data, at = array(block), 0
        inflate = nghttp2.nghttp2_hd_inflate_hd2
        inflate.restype = ctypes.c_ssize_t
        while True:
            start = ctypes.cast(ctypes.addressof(data) + at, ctypes.POINTER(ctypes.c_uint8))
            size = inflate(self.inflater, ctypes.byref(pair), ctypes.byref(flags), start, ctypes.c_size_t(len(block) - at), 1)
            if size < 0:
                return None
            at += size
            if flags.value & EMITTED:
                fields.append((ctypes.string_at(pair.name, pair.name_length), ctypes.string_at(pair.value, pair.value_length)))
            if flags.value & FINAL:
                nghttp2.nghttp2_hd_inflate_end_headers(self.inflater)
                return fields
            if size == 0 and not flags.value & EMITTED:
                return fields


class Hpack:
    def __init__(self, size):
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder(max_header_list_size=1 << 24)
        self.encoder.header_table_size = size
        self.decoder.max_allowed_table_size = size
        self.decoder.header_table_size = size

    def resize(self, size):
        self.encoder.header_table_size = size

    def encode(self, fields):
        tuples = [(hpack.NeverIndexedHeaderTuple if secret else hpack.HeaderTuple)(name, value) for name, value, secret in fields]
        return self.encoder.encode(tuples)

    def decode(self, block):
        try:
            return [(bytes(name), bytes(value)) for name, value in self.decoder.decode(block, raw=True)]
        except hpack.HPACKError:
            return None


def read(text):
    return b"" if text == "-" else bytes.fromhex(text)


def write(data):
    return data.hex() or "-"


def main():
    peers = {}
    for line in sys.stdin:
        what, *words = line.split()
        match what:
            case "new":
                peers = {"hpack": Hpack(int(words[0])), "nghttp2": Nghttp2(int(words[0]))}
                answer = "new"
            case "size":
                for peer in peers.values():
                    peer.resize(int(words[0]))
                answer = "size"
            case "encode":
                fields = [(read(name), read(value), secret == "1") for name, value, secret in (word.split(":") for word in words[1:])]
                answer = write(peers[words[0]].encode(fields))
            case "decode":
                fields = peers[words[0]].decode(read(words[1]))
                answer = "refused" if fields is None else " ".join(f"{write(name)}:{write(value)}" for name, value in fields)
        print(answer, flush=True)


if __name__ == "__main__":
    main()
