"""Every step of the images' files is carried out in a clean folder, as far as it goes offline.

`scripts/docker_steps.py` does the same with what the steps fetch and compile.
"""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docker"
IMAGES = sorted(FOLDER.glob("Dockerfile.*[!e]"))


@pytest.fixture(scope="module")
def docker_steps():
    spec = importlib.util.spec_from_file_location(
        "docker_steps", ROOT / "scripts" / "docker_steps.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_there_is_an_image_without_and_one_with_a_gpu():
    assert [path.name for path in IMAGES] == ["Dockerfile.cpu", "Dockerfile.gpu"]


def test_the_steps_of_the_image_without_a_gpu_run(docker_steps, tmp_path):
    build = docker_steps.Build(FOLDER / "Dockerfile.cpu", tmp_path, "python", rehearse=True)
    done = list(build.run())
    assert [told.split()[0] for told in done][-3:] == ["USER", "WORKDIR", "CMD"]
    assert done[-1].endswith("run as the user")
    assert not (build.image / "src").exists()  # and what runs is what was installed


def test_the_image_with_a_gpu_differs_by_its_libraries(docker_steps, tmp_path):
    """Its commands are those that the other one's test runs."""
    cpu, gpu = (dict(docker_steps.steps(FOLDER / f"Dockerfile.{one}")) for one in ("cpu", "gpu"))
    assert gpu["RUN"].replace("$EXTRA,", "") == cpu["RUN"]
    assert gpu["ARG"] == "EXTRA=cuda12"
    assert "video" in gpu["ENV"]
    build = docker_steps.Build(FOLDER / "Dockerfile.gpu", tmp_path, "python", rehearse=True)
    for name, rest in docker_steps.steps(FOLDER / "Dockerfile.gpu"):
        if name in ("FROM", "ARG", "ENV", "COPY"):
            getattr(build, f"do_{name.lower()}")(rest)
    for inside in ("gpuio/kernels/records.py", "scripts/build_backend.py", "pyproject.toml"):
        assert (build.image / "src" / inside).is_file()


@pytest.mark.parametrize("image", IMAGES, ids=lambda path: path.name)
def test_what_the_context_holds(docker_steps, image):
    files = docker_steps.context(image)
    assert {one.split("/")[0] for one in files} == {
        *("gpuio", "kernels", "scripts", "pyproject.toml", "README.md", "LICENSE")
    }


def test_a_step_that_would_fail_is_seen(docker_steps, tmp_path):
    """What a .dockerignore leaves out, a user that no step makes, a command that is not there."""
    wrong = tmp_path / "Dockerfile"
    wrong.write_text("FROM python:3.12-slim\nCOPY pyproject.toml \\\n  README.md /src/\n")
    wrong.with_name("Dockerfile.dockerignore").write_text("*\n!README.md\n**/__pycache__\n")
    place = tmp_path / "place"
    place.mkdir()
    build = docker_steps.Build(wrong, place, "python", rehearse=True)
    with pytest.raises(docker_steps.StepError, match=r"pyproject\.toml is not in the build"):
        list(build.run())
    for step, rest, said in [
        ("from", "python:3.9-slim", "that gpuio supports"),
        ("user", "gpuio", "no step makes it"),
        ("run", "true && gpuioo warmup", "not found"),
    ]:
        with pytest.raises(docker_steps.StepError, match=said):
            getattr(build, f"do_{step}")(rest)
    build.do_run("mkdir -p /data/in && test -d /data/in")
    assert (build.image / "data" / "in").is_dir()


@pytest.mark.parametrize(
    ("path", "out"),
    [("a.py", False), ("b/x.py", True), ("b/keep/x.py", False), ("a/__pycache__/y.pyc", True)],
)
def test_the_last_line_that_fits_a_path_decides(docker_steps, path, out):
    assert docker_steps.ignored(path, ["b", "!b/keep", "**/__pycache__"]) == out
