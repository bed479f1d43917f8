"""What NVIDIA's machine code says of itself: code, registers and stack of a cubin's kernels."""

import struct

_REGISTERS, _STACK = 0x2F, 0x11  # attributes that hold a symbol's number and a value


def code(cubin):
    """Return {kernel: machine code} of an ELF file's bytes."""
    return {
        name.removeprefix(".text."): cubin[at : at + size]
        for name, (at, size) in _sections(cubin).items()
        if name.startswith(".text.")
    }


def resources(cubin):
    """Return {kernel: (registers a thread, bytes of stack a thread)} of an ELF file's bytes."""
    sections = _sections(cubin)
    (symbols, size), (texts, _) = sections[".symtab"], sections[".strtab"]
    named = [
        _text(cubin, texts + struct.unpack_from("<I", cubin, symbols + 24 * k)[0])
        for k in range(size // 24)
    ]
    found = {}
    at, size = sections[".nv.info"]
    stop = at + size
    while at < stop:
        form, attribute, length = struct.unpack_from("<BBH", cubin, at)
        at += 4
        if form == 4:  # else the value stands in `length`
            if attribute in (_REGISTERS, _STACK):
                symbol, value = struct.unpack_from("<II", cubin, at)
                found.setdefault(named[symbol], {})[attribute] = value
            at += length
    return {
        name: (values[_REGISTERS], values[_STACK])
        for name, values in found.items()
        if _REGISTERS in values
    }


def _sections(cubin):
    """Return {section: (first byte, bytes)}."""
    (at,) = struct.unpack_from("<Q", cubin, 40)
    count, names = struct.unpack_from("<HH", cubin, 60)
    table = [struct.unpack_from("<IIQQQQIIQQ", cubin, at + 64 * k) for k in range(count)]
    return {_text(cubin, table[names][4] + row[0]): (row[4], row[5]) for row in table}


def _text(cubin, start):
    """Return the string that begins at a byte."""
    return cubin[start : cubin.index(b"\0", start)].decode()
