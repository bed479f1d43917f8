"""The scripts about frameworks in docs/scale.md run."""

import importlib.util
import re
from pathlib import Path

import pytest

from support.making import write_rec
from support.pictures import jpeg, picture

PAGE = Path(__file__).resolve().parents[2] / "docs" / "scale.md"
SECTION = PAGE.read_text().split("\n## Frameworks\n")[1].split("\n## ")[0]
BLOCKS = re.findall(r"^```python\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL)
NEEDED = [re.search(r"^import (\w+)", block, re.MULTILINE)[1] for block in BLOCKS]


@pytest.mark.filterwarnings("ignore")  # the frameworks' own
def test_the_scripts_about_frameworks_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert NEEDED == ["torch", "jax", "grain"]
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    write_rec(tmp_path, [jpeg(picture(32, 32, seed=3))] * 100, name="train")
    here = {}
    for block in BLOCKS:
        exec(compile(block, "docs/scale.md", "exec"), here)
