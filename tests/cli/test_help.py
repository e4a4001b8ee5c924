"""`minicnn --help` and wrong usage."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from minicnn import cli
from tests.cli.said import Said


class TestHelp:
    PAGES = (
        (),
        ("train",),
        ("evaluate",),
        ("predict",),
        ("models",),
        ("devices",),
        ("data",),
        ("data", "list"),
        ("weights",),
        ("weights", "show"),
        ("data", "info"),
        ("data", "fetch"),
        ("data", "import"),
    )

    @pytest.mark.parametrize("page", PAGES, ids=" ".join)
    def test_every_command_has_a_page(self, minicnn: Callable[..., Said], page: tuple[str, ...]) -> None:
        said = minicnn(*page, "--help")
        assert said.status == 0
        assert said.err == ""
        assert said.out.startswith(" ".join(["Usage: minicnn", *page]))
        assert "Error" not in said.out

    @pytest.mark.parametrize("page", [(), ("data",)], ids=["minicnn", "data"])
    def test_no_description_is_cut_off(self, minicnn: Callable[..., Said], page: tuple[str, ...]) -> None:
        """The list of commands shows whole sentences, not '...', in a terminal of any width."""
        text = minicnn(*page, "--help").out
        assert "..." not in text.split("Commands:")[1]

    def test_the_front_page_lists_every_command(self, minicnn: Callable[..., Said]) -> None:
        listed = minicnn("--help").out.split("Commands:")[1]
        assert re.findall(r"^  (\w+)", listed, re.MULTILINE) == [
            "train",
            "evaluate",
            "predict",
            "models",
            "gradcheck",
            "doctor",
            "compare",
            "sweep",
            "warmup",
            "devices",
            "data",
            "weights",
        ]

    def test_every_option_of_train_is_explained_with_its_default(self, minicnn: Callable[..., Said]) -> None:
        text = " ".join(minicnn("train", "--help").out.split())
        for option, default in (
            ("--model", "lenet5"),
            ("--data", "fashion-mnist-mini"),
            ("--epochs", "15"),
            ("--batch-size", "64"),
            ("--lr", "the optimizer's own"),
            ("--optimizer", "adam"),
            ("--schedule", "one-cycle"),
            ("--weight-decay", "0.0"),
            ("--seed", "0"),
            ("--balance", "none"),
            ("--augment", "none"),
            ("--on-bad-file", "error"),
            ("--out", "runs/<time>-<model>"),
        ):
            # A word may be broken over two lines at its hyphen.
            pattern = (
                re.escape(option) + r" <\w+> \S[^[]*\[default: \(?" + re.escape(default).replace(r"\-", "- ?")
            )
            assert re.search(pattern, text), option
        assert "--quiet" in text
        assert "--data-dir" in text

    def test_the_defaults_are_those_of_the_recipe(self) -> None:
        import inspect

        from minicnn.train.recipe import Recipe

        parameters = inspect.signature(cli.train).parameters
        recipe = Recipe()
        for name, value in vars(recipe).items():
            if name in parameters:
                assert parameters[name].default == value, name
        assert set(vars(recipe)) - set(parameters) == {"validation"}

    def test_without_a_command_it_shows_the_front_page(self, minicnn: Callable[..., Said]) -> None:
        said = minicnn()
        assert said.status != 0
        assert "Commands:" in said.out + said.err

    def test_a_mistyped_command_gets_the_nearest(self, minicnn: Callable[..., Said]) -> None:
        said = minicnn("trian")
        assert said.status == 2
        assert "No such command 'trian'" in said.err
        assert "'train'" in said.err

    @pytest.mark.parametrize(
        "arguments",
        [("train", "--epochs", "two"), ("train", "--nope"), ("evaluate",), ("predict", "run")],
        ids=" ".join,
    )
    def test_wrong_usage_has_status_2_and_points_to_help(
        self, minicnn: Callable[..., Said], arguments: tuple[str, ...]
    ) -> None:
        said = minicnn(*arguments)
        assert said.status == 2
        assert f"Try 'minicnn {arguments[0]} --help' for help." in said.err
        assert "Traceback" not in said.err
