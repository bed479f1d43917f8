"""gpuio doctor: what it says of machines that are whole, broken, or without a GPU."""

import argparse
import json

import pytest

from gpuio.backend.gpu.probe import Driver, Gpu, Machine
from gpuio.decode import turbojpeg
from gpuio.tools import doctor

H100 = Gpu("NVIDIA H100", (9, 0), 80 << 30)
WHOLE = Machine(
    driver=Driver(cuda=(13, 0), version="580.65", gpus=(H100,), video=True),
    cupy=("cupy-cuda13x 14.2.0",),
    dali="2.4.0",
    nvimgcodec="0.9.0",
    nvrtc="/lib/libnvrtc.so.13",
)
BARE = Machine(Driver(trouble="libcuda.so.1 is not found"))


def engines(device_id):
    return 7, 1


def run(machine, monkeypatch, capsys, *words):
    monkeypatch.setattr(doctor, "survey", lambda: machine)
    monkeypatch.setattr(doctor, "jpeg_engines", engines)
    parser = argparse.ArgumentParser()
    doctor.add_arguments(parser)
    code = doctor.run(parser.parse_args(words))
    return code, capsys.readouterr().out


def test_a_whole_machine_is_reported_with_its_engines_and_ends_with_0(monkeypatch, capsys):
    code, said = run(WHOLE, monkeypatch, capsys)
    assert code == 0
    assert "NVIDIA H100, capability 9.0, 80 GiB" in said
    assert "7 hardware engines" in said
    assert "ctx='auto' takes the GPU" in said
    assert "dali: DALI 2.4.0 is installed" in said
    assert "missing" not in said


@pytest.mark.parametrize("asked", [["--gpu"], ["--device-id", "0"], ["--decoder", "dali"]])
def test_a_bare_machine_names_every_gap_and_its_mending(monkeypatch, capsys, asked):
    monkeypatch.setattr(doctor, "_HARDWARE_LISTED", "/nowhere")
    code, said = run(BARE, monkeypatch, capsys)
    assert code == 0
    assert "missing:" not in said
    assert "no GPU is here: nothing is missing for the CPU" in said
    assert "  for a GPU: no CUDA driver" in said
    code, said = run(BARE, monkeypatch, capsys, *asked)
    assert code == 1
    assert "missing: no CUDA driver" in said
    assert "mend: pip install 'gpuio[cuda12]'" in said
    assert "ctx='auto' takes the CPU" in said


def test_a_gpu_that_is_there_is_asked_for(monkeypatch, capsys, tmp_path):
    without_cupy = Machine(WHOLE.driver)
    code, said = run(without_cupy, monkeypatch, capsys)
    assert (code, "missing: CuPy is not installed" in said) == (1, True)
    monkeypatch.setattr(doctor, "_HARDWARE_LISTED", str(tmp_path))
    code, said = run(BARE, monkeypatch, capsys)  # a driver that does not load
    assert (code, "missing: no CUDA driver" in said) == (1, True)


def test_json_is_one_object_with_the_same_facts(monkeypatch, capsys):
    code, said = run(WHOLE, monkeypatch, capsys, "--json", "--decoder", "nvimgcodec")
    found = json.loads(said)
    assert code == 0
    assert found["decoder"] == "nvimgcodec"
    assert found["jpeg_engines"] == [7, 1]
    assert found["gpus"][0]["memory_bytes"] == 80 << 30
    assert found["gaps"] == []


@pytest.mark.parametrize(
    ("video", "hardware", "what"),
    [(False, None, "libnvcuvid.so.1 does not load"), (True, None, "no JPEG hardware found")],
)
def test_a_gpu_without_reachable_jpeg_hardware_is_noted_but_usable(video, hardware, what):
    import attrs

    machine = attrs.evolve(WHOLE, driver=attrs.evolve(WHOLE.driver, video=video))
    found = doctor.examine(machine, 0, "auto", engines=lambda device_id: hardware)
    assert found["gaps"] == []
    (note,) = found["notes"]
    assert what in note["what"]
    assert f"note: {note['what']}" in doctor.report(found)


def test_a_gpu_that_does_not_exist_is_not_asked_for_engines():
    def never(device_id):
        raise AssertionError("asked")

    found = doctor.examine(WHOLE, 3, "auto", engines=never)
    assert found["jpeg_engines"] is None
    assert "GPU 3 does not exist" in found["gaps"][0]["what"]


def test_it_looks_at_this_machine_without_failing(capsys):
    parser = argparse.ArgumentParser()
    doctor.add_arguments(parser)
    assert doctor.run(parser.parse_args(["--json"])) in (0, 1)
    assert json.loads(capsys.readouterr().out)["cpus"] >= 1


FOUND = turbojpeg.Status("/lib/libturbojpeg.so.0.3.0", "3.0")
TOO_OLD = turbojpeg.Status("libturbojpeg.so.0", reason="it has no tj3Init")
ABSENT = turbojpeg.Status(reason="no libturbojpeg found")


@pytest.mark.parametrize(
    ("found", "line", "decoder"),
    [
        (FOUND, "TurboJPEG  3.0, /lib/libturbojpeg.so.0.3.0", "turbojpeg"),
        (TOO_OLD, "TurboJPEG  - libturbojpeg.so.0: it has no tj3Init", "opencv"),
        (ABSENT, "TurboJPEG  - no libturbojpeg found", "opencv"),
    ],
    ids=["found", "too old", "absent"],
)
def test_the_cpus_decoder_is_named(found, line, decoder, monkeypatch, capsys):
    monkeypatch.setattr(doctor.turbojpeg, "status", lambda: found)
    code, said = run(BARE, monkeypatch, capsys, "--gpu")
    assert code == 1
    assert line in said.splitlines()
    assert f"decoder    {decoder}: the GPU backend cannot be used" in said
