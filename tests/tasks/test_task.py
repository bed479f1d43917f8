"""Detection is a task: its own files alone know it, and nobody asks which task it is."""

import ast
import inspect
from pathlib import Path

import numpy as np
import pytest

import gpuio
from gpuio.options.image_det_record import ImageDetRecordOptions
from gpuio.options.image_record import ImageRecordOptions
from gpuio.plan.planner import Planner
from gpuio.plan.planner_det import DetPlanner
from gpuio.tasks.classify import Classify
from gpuio.tasks.detect import Detect
from gpuio.tasks.task import Task

ROOT = Path(gpuio.__file__).parent
TASKS = {
    Classify: ImageRecordOptions(path_imgrec="a.rec", data_shape=(3, 8, 8), batch_size=2),
    Detect: ImageDetRecordOptions(data_shape=(3, 8, 8), batch_size=2),
}
KINDS = {
    *("ImageRecordOptions", "ImageDetRecordOptions", "Planner", "DetPlanner"),
    *("Classify", "Detect", "RecordLabels", "BoxLabels"),
}


def names(node):
    """Return the plain and dotted names in a piece of syntax, their last parts."""
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)} | {
        n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)
    }


def questions(source):
    """Yield each isinstance about a task's classes, and each union of two of them."""
    for node in ast.walk(ast.parse(source)):
        asks = isinstance(node, ast.Call) and names(node.func) & {"isinstance", "issubclass"}
        joins = isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr)
        joins |= isinstance(node, ast.Subscript) and "Union" in names(node.value)
        if len(names(node) & KINDS) > (0 if asks else 1) and (asks or joins):
            yield ast.unparse(node)


@pytest.mark.parametrize(
    "source",
    [
        "isinstance(options, ImageDetRecordOptions)",
        "not isinstance(made, (detect.DetPlanner, str))",
        "def f(options: ImageRecordOptions | ImageDetRecordOptions): ...",
        "planner: Union[Planner, DetPlanner] = make()",
    ],
)
def test_a_question_is_found(source):
    assert len(list(questions(source))) == 1


def test_nobody_asks_which_task_it_is():
    asked = {
        path.relative_to(ROOT).as_posix(): found
        for path in ROOT.rglob("*.py")
        if (found := list(questions(path.read_text())))
    }
    assert asked == {}


@pytest.mark.parametrize("kind", TASKS)
def test_a_task_has_every_verb_with_the_same_parameters(kind):
    for name, verb in vars(Task).items():
        if inspect.isfunction(verb) and not name.startswith("_"):
            theirs = list(inspect.signature(getattr(kind, name)).parameters)
            assert theirs == list(inspect.signature(verb).parameters), name
    task = kind(TASKS[kind])
    assert type(task.options) is kind.declared
    assert task.classes is None


def test_both_planners_draw_from_the_same_request():
    assert inspect.signature(Planner.draw) == inspect.signature(DetPlanner.draw)


@pytest.mark.parametrize("kind", TASKS)
def test_what_a_mean_image_is_made_from_has_the_changes_and_no_mixtures(kind):
    task = kind(TASKS[kind]).unmixed(dtype="float32", mean_img="")
    assert (task.options.dtype, task.options.mean_img) == ("float32", "")
    mixed = ImageRecordOptions(
        path_imgrec="a.rec", data_shape=(3, 8, 8), batch_size=2, num_classes=5, cutmix_alpha=1.0
    )
    plain = Classify(mixed).unmixed().options
    assert (plain.num_classes, plain.cutmix_alpha) == (None, 0)


def test_means_come_before_the_mean_image_in_detection_alone():
    image = np.ones((3, 8, 8), np.float32)
    for mean, kept in ((np.zeros(3), True), (np.array([0.0, 1, 0]), False)):
        assert (Detect(TASKS[Detect]).subtracted(mean, image) is image) == kept
        assert Classify(TASKS[Classify]).subtracted(mean, image) is image


@pytest.mark.parametrize(
    ("means", "held"),
    [((0, 3, 0, 0), [0, 3, 0]), ((-5, 0, 0, 0), [0, 0, 0]), ((-5, 0, 0, 1), [-5, 0, 0])],
)
def test_means_and_divisors_apply_in_detection_where_one_is_above_0(means, held):
    given = dict(zip(("mean_r", "mean_g", "mean_b", "mean_a"), means, strict=True))
    options = ImageDetRecordOptions(data_shape=(3, 8, 8), batch_size=2, std_g=-2, **given)
    mean, std, scale = options.normalisation()
    assert (mean.tolist(), std.tolist(), scale) == (held, [1, 1, 1], 1)
    plain = ImageRecordOptions(
        path_imgrec="a.rec", data_shape=(3, 8, 8), batch_size=2, std_g=-2, **given
    )
    mean, std, _ = plain.normalisation()
    assert (mean.tolist(), std.tolist()) == (list(means[:3]), [1, -2, 1])
