"""Folders and tables of images: what is found, what is left out, and what is said about it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from PIL import Image

from minicnn.data.folder import find_images
from minicnn.data.table import read_table
from minicnn.errors import DataError


def put(path: Path, value: int = 100, size: tuple[int, int] = (5, 4)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, value).save(path)
    return path


def names(files):
    return [
        (path.relative_to(files.root).as_posix(), files.class_names[n])
        for path, n in zip(files.paths, files.labels)
    ]


def test_a_folder_a_class(tmp_path):
    for name in ("dog/2.png", "dog/1.JPG", "cat/deep/er/3.bmp"):
        put(tmp_path / name)
    files = find_images(tmp_path)
    assert files.class_names == ("cat", "dog")
    assert names(files) == [("cat/deep/er/3.bmp", "cat"), ("dog/1.JPG", "dog"), ("dog/2.png", "dog")]
    assert set(files.parts) == {""}
    assert files.notes == files.bad == ()
    assert files.class_counts.tolist() == [1, 2]


@pytest.mark.parametrize("held", ["val", "valid", "Validation"])
def test_parts_of_its_own(tmp_path, held):
    for part in ("Train", "test", held):
        for name in ("a", "b"):
            put(tmp_path / part / name / "1.png")
    files = find_images(tmp_path)
    assert files.class_names == ("a", "b")
    assert sorted(files.parts) == sorted(["train", "test", "validation"] * 2)


def test_classes_called_test_and_valid_are_classes_where_there_is_no_train(tmp_path):
    put(tmp_path / "test" / "1.png")
    put(tmp_path / "valid" / "1.png")
    assert find_images(tmp_path).class_names == ("test", "valid")


@pytest.mark.parametrize(
    "name", ["a b", "it's", 'say "no"', "日本語", "ё", "a,b;c", "-rf", "%s{}", "n\new", "$HOME"]
)
def test_any_name_is_a_name(tmp_path, name):
    if sys.platform == "win32" and any(c in name for c in '"\n'):
        pytest.skip("Windows has no such names")
    put(tmp_path / name / f"{name}.png")
    put(tmp_path / "other" / "x.png")
    files = find_images(tmp_path)
    assert set(files.class_names) == {name, "other"}
    assert all(path.is_file() for path in files.paths)


def test_what_programs_leave_is_passed_over_and_other_files_are_mentioned(tmp_path):
    for name in ("a/1.png", "b/1.png", ".git/x.png", "__MACOSX/x.png", "a/.hidden.png"):
        put(tmp_path / name)
    for name in ("a/.DS_Store", "a/Thumbs.db", "b/notes.txt", "b/list.pdf"):
        (tmp_path / name).write_text("x")
    files = find_images(tmp_path)
    assert len(files) == 2
    assert files.notes == ("2 file(s) are no images: list.pdf, notes.txt",)


def test_an_empty_class_is_left_out_and_mentioned(tmp_path):
    put(tmp_path / "a/1.png")
    put(tmp_path / "b/1.png")
    (tmp_path / "empty").mkdir()
    files = find_images(tmp_path)
    assert files.class_names == ("a", "b")
    assert files.notes == ("no image in empty: left out of the classes",)


def test_links_are_followed_and_loops_end(tmp_path):
    put(tmp_path / "a/1.png")
    put(tmp_path / "elsewhere" / "2.png")
    root = tmp_path / "root"
    put(root / "c" / "3.png")
    put(root / "d" / "4.png")
    (root / "c" / "up").symlink_to(root, target_is_directory=True)
    (root / "c" / "self").symlink_to(root / "c", target_is_directory=True)
    (root / "c" / "round").symlink_to(root / "c" / "round")
    (root / "e").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    files = find_images(root)
    assert names(files) == [("c/3.png", "c"), ("d/4.png", "d"), ("e/2.png", "e")]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read(tmp_path):
    put(tmp_path / "a/1.png")
    put(tmp_path / "b/1.png")
    put(tmp_path / "b/locked/2.png")
    (tmp_path / "b/locked").chmod(0)
    try:
        files = find_images(tmp_path)
    finally:
        (tmp_path / "b/locked").chmod(0o700)
    assert [file.path.name for file in files.bad] == ["locked"]
    assert "Permission denied" in files.bad[0].reason


def test_a_folder_that_cannot_be_listed_is_a_bad_file(tmp_path, monkeypatch):
    for name in ("a", "b"):
        put(tmp_path / name / "1.png")
    put(tmp_path / "b/locked/2.png")
    listed = Path.iterdir

    def iterdir(path):
        if path.name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    (bad,) = find_images(tmp_path).bad
    assert bad.reason == f"the folder {tmp_path / 'b/locked'} cannot be read: Permission denied"


def test_folders_that_are_no_data_set_say_what_is_expected(tmp_path):
    with pytest.raises(DataError, match=r"there is no folder .*nowhere"):
        find_images(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"holds no images: expected a folder a class, such as .*cat.1\.jpg"):
        find_images(tmp_path)
    put(tmp_path / "loose.png")
    with pytest.raises(
        DataError, match=r"holds 1 image\(s\), but no class folders: put the images of every class"
    ):
        find_images(tmp_path)
    put(tmp_path / "only" / "1.png")
    with pytest.raises(DataError, match="images of one class only, 'only': a classifier needs at least two"):
        find_images(tmp_path)


class TestTable:
    @pytest.fixture
    def root(self, tmp_path):
        for name in ("a.png", "b c.png", "ü.png"):
            put(tmp_path / "pictures" / name)
        return tmp_path

    def write(self, root, text, name="labels.csv", encoding="utf-8"):
        (root / name).write_text(text, encoding=encoding)
        return root / name

    @pytest.mark.parametrize("header", ["file,label", "Filename,Class", "label,path", "x,image,y,category"])
    def test_columns_are_found_by_their_names(self, root, header):
        lines = [header]
        for file, label in (
            ("pictures/a.png", "cat"),
            ("pictures/b c.png", "dog"),
            ("pictures/ü.png", "cat"),
        ):
            cells = {"file": file, "Filename": file, "path": file, "image": file}
            lines.append(
                ",".join(
                    cells.get(name, label if name not in ("x", "y") else "1") for name in header.split(",")
                )
            )
        files = read_table(self.write(root, "\n".join(lines)))
        assert names(files) == [
            ("pictures/a.png", "cat"),
            ("pictures/b c.png", "dog"),
            ("pictures/ü.png", "cat"),
        ]

    def test_quotes_blank_lines_and_a_byte_order_mark(self, root):
        text = 'file,label\r\n"pictures/b c.png","dog, large"\r\n\r\npictures/a.png, cat \r\n'
        files = read_table(self.write(root, text, encoding="utf-8-sig"))
        assert files.class_names == ("cat", "dog, large")

    def test_a_split_column(self, root):
        text = "file,label,split\npictures/a.png,x,train\npictures/b c.png,y,val\npictures/ü.png,x,TEST\n"
        assert read_table(self.write(root, text)).parts.tolist() == ["train", "validation", "test"]

    def test_a_folder_with_a_table_is_read_by_it(self, root):
        self.write(root, "file,label\npictures/a.png,1\npictures/b c.png,0\n")
        assert find_images(root).class_names == ("0", "1")

    def test_missing_files_are_bad_ones(self, root):
        files = read_table(self.write(root, "file,label\npictures/a.png,1\nno.png,0\npictures/b c.png,0\n"))
        assert len(files) == 2
        assert files.bad[0].path == root / "no.png"
        assert "does not exist (line 3 of labels.csv)" in files.bad[0].reason

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "is empty: expected the columns file,label"),
            ("pictures/a.png,cat\n", "expected the names of the columns, file,label"),
            ("file,label\npictures/a.png\n", "line 2 of .* lacks its file or its label"),
            ("file,label\npictures/a.png,\n", "line 2 of .* lacks its file or its label"),
            (
                "file,label\npictures/a.png,1\npictures/a.png,2\n",
                "line 3 of .* says '2' of pictures/a.png, an earlier one '1'",
            ),
            (
                "file,label,split\npictures/a.png,1,holdout\n",
                "has the split 'holdout': expected train, validation or test",
            ),
            ("file,label\nno.png,1\n", "none of the 1 files in .* exists"),
            (
                "file,label\npictures/a.png,1\n",
                r"labels\.csv has images of one class only, '1'.* in its column of labels",
            ),
            ("file,label\na\0b.png,1\n", "zero byte|cannot be read"),
        ],
    )
    def test_tables_that_make_no_sense(self, root, text, message):
        with pytest.raises(DataError, match=message):
            read_table(self.write(root, text))

    def test_another_encoding_is_named(self, root):
        with pytest.raises(DataError, match=r"is not UTF-8 text .* save it as UTF-8"):
            read_table(self.write(root, "file,label\npictures/ü.png,1\n", encoding="latin-1"))
        with pytest.raises(DataError, match="does not exist"):
            read_table(root / "no.csv")
