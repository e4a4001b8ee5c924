"""The part `minicnn data` of the command: what data sets there are, what is in them, and how to get more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

data_app = typer.Typer(
    help="Data sets: what is there, what is in them, and how to get more.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

DataDir = Annotated[
    Path | None, typer.Option(help="A folder to look for data sets in, before the usual places.")
]


@data_app.command("list")
def data_list(data_dir: DataDir = None) -> None:
    """List the data sets. It says where they were found, and how to get the others."""
    from minicnn.data import describe

    print(describe(data_dir))


@data_app.command("info")
def data_info(
    name: Annotated[
        str, typer.Argument(metavar="NAME_OR_FOLDER", help="A data set's name, a folder, a .csv or an .npz.")
    ],
    sheet: Annotated[Path | None, typer.Option(help="Draw a contact sheet into this PNG file.")] = None,
    data_dir: DataDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Look into a data set. It counts the classes, and names copies, damaged files and other trouble."""
    from minicnn.data import report

    found = report(name, data_dir)
    print(json.dumps(found.to_dict(), ensure_ascii=False) if as_json else found)
    if sheet is not None:
        from minicnn.plots import contact_sheet

        contact_sheet(found.thumbnails, found.labels, found.class_names).savefig(sheet, format="png", dpi=110)


@data_app.command("fetch")
def data_fetch(
    name: Annotated[str, typer.Argument(help="A data set; `minicnn data list` lists them.")],
    data_dir: Annotated[
        Path | None, typer.Option(help="Where to keep it.", show_default="the user's cache")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Download a data set. It is checked, and a download that was cut goes on where it stopped."""
    from minicnn.data.fetch import fetch

    print(f"{name} is in {fetch(name, data_dir, quiet=quiet)}")


@data_app.command("import")
def data_import(
    name: Annotated[str, typer.Argument(help="A data set; `minicnn data list` lists them.")],
    path: Annotated[Path, typer.Argument(help="The folder (or the file) that holds its files.")],
    data_dir: Annotated[
        Path | None, typer.Option(help="Where to keep it.", show_default="the user's cache")
    ] = None,
) -> None:
    """Take in a data set that you have as files. They are checked and copied."""
    from minicnn.data.fetch import import_files

    print(f"{name} is in {import_files(name, path, data_dir)}")
