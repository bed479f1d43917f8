"""The sentence names what limits, in every made situation; real iterators: io/test_record_stats."""

import pytest

from gpuio.pipeline.limits import find_limit


def situation(*, waits=0.5, reading=0.1, making=0.1, mixing=None, **other):
    """What was measured: shares of the time; by default nothing is busy and you wait."""
    parts = {"read": 1.0, "headers": 0.2, "plan": 0.1, "decode": 2.0, "kernels": 1.0}
    parts |= other.pop("parts", {})
    busy = {"reading": reading, "making": making, "mixing": mixing}
    stages = {name: {"seconds": value, "busy": 0.0} for name, value in parts.items()}
    stages |= {name: {"seconds": 1.0, "busy": one} for name, one in busy.items() if one is not None}
    return {
        "elapsed_s": 10.0,
        "measured_batches": 100,
        "waits": waits,
        "consumes": 1 - waits,
        "hand_overs": 0.0,
        "starved": 0.0,
        "read_bytes_per_s": 12e6,
        "stages": stages,
        "look_ahead": {"read": 1.0, "made": 2.0, "room": 4},
        "threads": 2,
        "prefetch_buffer": 4,
        "cores": 2,
        "cores_used": 1.9,
        "decoders": {"turbojpeg": 100},
        "read_bytes": {"local": 1},
        "reads_from_memory": False,
        "turbojpeg": True,
        "can_cache": True,
        "wanted_threads": other.get("threads", 2),
        "together": 1,
        "checks": False,
        "damaged": False,
        **other,
    }


@pytest.mark.parametrize(
    ("given", "stage", "sentence", "options"),
    [
        (
            {"making": 0.98},
            "decoding",
            (
                "decoding limits: 2 threads busy 98 % on 2 cores; try smaller images in the file, "
                "decode_scale='auto' for photos of many megapixels, or cache"
            ),
            {},
        ),
        (
            {"making": 0.98, "threads": 1, "cores": 8},
            "decoding",
            (
                "decoding limits: 1 thread busy 98 %, and there are 8 cores; raise "
                "preprocess_threads "
                "to 8, or cache"
            ),
            {"preprocess_threads": 8},
        ),
        (
            {"making": 0.98, "decoders": {"opencv": 9}, "turbojpeg": False, "can_cache": False},
            "decoding",
            "decoding limits: 2 threads busy 98 % on 2 cores; try pip install 'gpuio[turbo]'",
            {},
        ),
        (
            {"making": 0.98, "decoders": {"opencv": 9, "own": 90}, "turbojpeg": False},
            "decoding",
            (
                "decoding limits: 2 threads busy 98 % on 2 cores; try smaller images in the file, "
                "decode_scale='auto' for photos of many megapixels, or cache"
            ),
            {},
        ),
        (
            {"making": 0.99, "cores_used": 0.8},
            "decoding",
            (
                "decoding limits: 2 threads busy 99 % on 2 cores, of which this process got 0.8: "
                "others use the machine; try smaller images in the file, decode_scale='auto' for "
                "photos of many megapixels, or cache"
            ),
            {},
        ),
        (
            {"making": 0.98, "threads": 1, "wanted_threads": 2, "together": 20},
            "decoding",
            (
                "decoding limits: 1 thread busy 98 %: batches are so small that 20 are made as "
                "one; raise prefetch_buffer to 40, or batch_size"
            ),
            {"prefetch_buffer": 40},
        ),
        (
            {"making": 1.0, "parts": {"kernels": 3.0}},
            "kernels",
            (
                "kernels limit: 2 threads busy 100 % on 2 cores; try dtype='uint8' or fewer "
                "colour and "
                "geometry options"
            ),
            {},
        ),
        (
            {"making": 1.0, "parts": {"kernels": 3.0}, "cores": 4},
            "kernels",
            (
                "kernels limit: 2 threads busy 100 %, and there are 4 cores; raise "
                "preprocess_threads "
                "to 4"
            ),
            {"preprocess_threads": 4},
        ),
        (
            {"reading": 0.97, "read_bytes": {"s3": 1}},
            "storage",
            (
                "storage limits: the reading thread is busy 97 %, at 12 MB/s from s3 files; try a "
                "faster disk, or files copied to local disk or memory, or cache"
            ),
            {},
        ),
        (
            {"reading": 0.5, "starved": 0.4, "can_cache": False},
            "storage",
            (
                "storage limits: the reading thread is busy 50 %, at 12 MB/s from local files; "
                "try a "
                "faster disk, or files copied to local disk or memory"
            ),
            {},
        ),
        (
            {"reading": 0.9, "reads_from_memory": True},
            "reading",
            "reading limits: its one thread is busy 90 %, though the files are in memory",
            {},
        ),
        (
            {"reading": 0.9, "parts": {"headers": 2.0}},
            "headers",
            (
                "reading headers limits: its one thread is busy 90 %; try a larger batch_size, or "
                "several iterators over parts (num_parts)"
            ),
            {},
        ),
        (
            {"reading": 0.9, "parts": {"headers": 2.0}, "checks": True, "damaged": True},
            "headers",
            (
                "reading headers limits: its one thread is busy 90 %; try checksum off, a file "
                "without damaged or rare records, a larger batch_size, or several iterators"
            ),
            {},
        ),
        (
            {"making": 0.3, "consumes": 0.0, "together": 10},
            "contention",
            (
                "gpuio's threads are kept from running: you waited 50 % of the time while 2 "
                "threads were busy 30 %. Batches are small, and each is handed on by itself: raise "
                "batch_size. Or other threads hold Python's lock"
            ),
            {},
        ),
        (
            {"making": 0.3, "consumes": 0.0, "together": 10, "threads": 1, "wanted_threads": 2},
            "contention",
            (
                "gpuio's threads are kept from running: you waited 50 % of the time while 1 thread "
                "was busy 30 %. Batches are small, and each is handed on by itself: raise "
                "prefetch_buffer to 20, or batch_size. Or other threads hold Python's lock"
            ),
            {"prefetch_buffer": 20},
        ),
        ({"reading": 0.9, "parts": {"plan": 2.0}}, "plan", "drawing random numbers limits", {}),
        ({"mixing": 0.9}, "mixing", "mixing limits: its one thread is busy 90 %", {}),
        ({"hand_overs": 0.4}, "hand-over", "handing over limits: 40 % of the time", {}),
        (
            {"waits": 0.01, "consumes": 0.3, "hand_overs": 0.69},
            "hand-over",
            "handing over limits: 69 % of the time",
            {},
        ),
        (
            {"making": 0.4, "prefetch_buffer": 1},
            "look-ahead",
            (
                "the look-ahead is too short: you waited 50 % of the time while 2 threads were "
                "idle "
                "60 %, so batches are asked for in bursts; raise prefetch_buffer from 1 to 4"
            ),
            {"prefetch_buffer": 4},
        ),
        (
            {"waits": 0.95, "consumes": 0.05, "making": 0.3},
            "contention",
            (
                "gpuio's threads are kept from running: you waited 95 % of the time while 2 "
                "threads "
                "were busy 30 %. Other threads hold Python's lock, or other processes the cores; "
                "this "
                "process got 1.9 of 2 cores"
            ),
            {},
        ),
        (
            {"waits": 0.95, "consumes": 0.05, "making": 0.7},
            "decoding",
            "decoding limits: 2 threads busy 70 % on 2 cores",
            {},
        ),
        (
            {"waits": 0.01, "making": 0.1},
            "consumer",
            (
                "your own code limits: gpuio waited for it 99 % of the time, with 2.0 of 4 batches "
                "ready when it asked; preprocess_threads=1 would do"
            ),
            {"preprocess_threads": 1},
        ),
        (
            {"waits": 0.01, "making": 0.7},
            "consumer",
            (
                "your own code limits: gpuio waited for it 99 % of the time, with 2.0 of 4 batches "
                "ready when it asked; no option makes it faster"
            ),
            {},
        ),
        ({"measured_batches": 3}, "unknown", "too few batches to tell what limits: 3", {}),
        ({"elapsed_s": 0.0}, "unknown", "too few batches", {}),
    ],
)
def test_the_sentence(given, stage, sentence, options):
    limit = find_limit(situation(**given))
    assert limit.stage == stage
    assert limit.sentence.startswith(sentence)
    assert limit.options == options
    assert limit.sentence.count(sentence[:20]) == 1


def test_the_busiest_stage_is_named():
    both = {"reading": 0.8, "making": 0.9, "mixing": 0.85}
    assert find_limit(situation(**both)).stage == "decoding"
    assert find_limit(situation(**both | {"reading": 0.95})).stage == "storage"
    assert find_limit(situation(**both | {"mixing": 0.95})).stage == "mixing"
