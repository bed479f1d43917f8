"""What an iterator did, as a table with one sentence on what limits it."""

from __future__ import annotations

from typing import Any

__all__ = ["report"]

_NAMES = {
    "reading": "reading",
    "read": "  files",
    "headers": "  headers, labels",
    "plan": "  random numbers",
    "making": "making",
    "decode": "  decoding",
    "kernels": "  kernels",
    "mixing": "mixing",
    "hand_over": "handing over",
}
_DECODERS = {
    "own": "gpuio itself",
    "turbojpeg": "TurboJPEG",
    "opencv": "OpenCV",
    "engine": "the GPU's engine",
}


def report(stats: dict[str, Any], title: str) -> str:
    """Return the table.

    Parameters
    ----------
    stats : dict        of the iterator's `stats()`
    title : str         first line
    """
    lines = [title]
    said = f"{stats['images']:,} images in {stats['batches']:,} batches"
    if "stages" not in stats:
        return "\n".join([*lines, said, "stages were not measured: stats=False"])
    lines.append(
        f"{said}; {stats['images_per_s']:,.0f} images/s over {stats['elapsed_s']:.2f} s "
        "since the first one"
    )
    lines.append("")
    lines.append(
        f"{'stage':<18} {'threads':>7} {'seconds':>9} {'busy':>6} {'images/s it could':>18}"
    )
    for name, one in stats["stages"].items():
        could = one["images_per_s"]
        lines.append(
            f"{_NAMES[name]:<18} {one['threads']:>7} {one['seconds']:>9.3f} "
            f"{_percent(one['busy']):>6} {'-' if could is None else f'{could:,.0f}':>18}"
        )
    lines += ["", *_facts(stats), "", stats["limit"]["sentence"]]
    return "\n".join(lines)


def _facts(stats: dict[str, Any]) -> list[str]:
    """Return the lines between the table and the sentence."""
    ahead, used = stats["look_ahead"], stats["cores_used"]
    lines = [
        (
            f"you waited {_percent(stats['waits'])} of the time, gpuio waited for you "
            f"{_percent(stats['consumes'])}"
        ),
        (
            f"look-ahead: {ahead['made']:.1f} of {ahead['room']} batches were ready "
            f"when you asked, {ahead['read']:.1f} more were read"
        ),
    ]
    if used is not None:
        lines.append(f"this process used {used:.2f} of {stats['cores']} cores")
    read = ", ".join(f"{n / 1e6:,.1f} MB {name}" for name, n in stats["read_bytes"].items())
    lines.append(f"read: {read or 'nothing'}, {stats['read_bytes_per_s'] / 1e6:,.0f} MB/s")
    decoded = ", ".join(f"{_DECODERS[name]} {n:,}" for name, n in stats["decoders"].items())
    lines.append(f"decoded by: {decoded or 'nobody'}")
    cache = stats.get("cache")
    if cache:
        lines.append(
            f"cache: {cache['kind']}, {cache['hits']:,} hits, {cache['misses']:,} misses, "
            f"{cache['bytes'] / 1e6:,.1f} MB"
        )
    wrong = {
        "bad records": stats["faults"],
        "decoded with a warning": stats["decoded_with_warnings"],
        "cut short": stats["cut_short"],
        "wrong boxes": stats["bad_boxes"],
        "ranges skipped": len(stats["skipped_ranges"]),
    }
    found = ", ".join(f"{name} {count:,}" for name, count in wrong.items() if count)
    lines.append(f"damage: {found or 'none met'}")
    return lines


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
