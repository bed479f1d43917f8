"""What is a URL, and what is said of one that cannot be read."""

import pytest

from gpuio.errors import StorageError
from gpuio.storage.paths import absolute
from gpuio.storage.urls import begins_with, beside, divided, is_url, name_of, scheme_of, shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s3://b/a.rec", True),
        ("a+b://x", True),
        ("HTTPS://h/x", True),
        ("file:///x", False),
        ("/s3://b", False),
        ("a b://x", False),
        ("data.rec", False),
        ("1s://x", False),
    ],
)
def test_a_scheme_makes_a_url(text, expected):
    assert is_url(text) is expected
    assert bool(scheme_of(text)) is (expected or text.startswith("file"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("s3:/b/a.rec", r"two slashes behind its scheme: s3://b/a.rec"),
        ("hdfs:/a.rec", "two slashes"),
        ("s3:///a.rec", "no bucket"),
        ("s3://", "no bucket"),
        ("http://me:secret@h/a.rec", "password"),
        ("https://h/a.rec?X-Amz-Signature=secret", "signatures"),
    ],
)
def test_a_url_that_cannot_be_read_is_refused_and_shows_no_secret(text, said):
    with pytest.raises(StorageError, match=said) as raised:
        absolute(text)
    assert "secret" not in str(raised.value)


def test_a_folder_that_is_named_as_a_scheme_is_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s3:").mkdir()
    assert absolute("s3:/a.rec") == f"{tmp_path}/s3:/a.rec"


def test_urls_stay_and_file_is_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert absolute("s3://b//x/../a b%20.rec") == "s3://b//x/../a b%20.rec"
    assert absolute("file:///a") == "/a"
    assert absolute("abfss://box@account.dfs.core.windows.net/a").startswith("abfss://box@")


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("s3://b/x/a%20b.rec", ("s3://b", "x/a%20b.rec")),
        ("http://h:1/x/a%20b.rec", ("http://h:1", "x/a b.rec")),
        ("gs://b", ("gs://b", "")),
    ],
)
def test_the_key_is_what_the_service_calls_it(url, parts):
    assert divided(url) == parts


def test_places_beside_a_file():
    assert beside("s3://b/x/a.rec", suffix=".idx") == "s3://b/x/a.idx"
    assert beside("s3://b/x.y/a", suffix=".idx") == "s3://b/x.y/a.idx"
    assert beside("s3://b/x/a.rec", name="property") == "s3://b/x/property"
    assert beside("/x/a.rec", suffix=".idx") == "/x/a.idx"
    assert name_of("s3://b/x/a.rec") == "a.rec"


def test_what_lies_below_a_prefix():
    assert begins_with("s3://b/a", "s3://b")
    assert begins_with("s3://b/a", "s3://")
    assert not begins_with("s3://bb/a", "s3://b")


def test_what_may_be_a_credential_is_not_shown():
    text = "GET https://me:secret@h/a?sig=secret failed (https://h/b?x=secret)"
    assert "secret" not in shown(text)
    assert "https://...@h/a?... failed" in shown(text)
