"""The `minicnn` command. Each subcommand imports what it needs when it runs."""

from __future__ import annotations

import errno
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from minicnn.cli_data import DataDir, data_app
from minicnn.errors import ConfigError, MinicnnError

if TYPE_CHECKING:
    from minicnn.train.recipe import RunResult

app = typer.Typer(
    name="minicnn",
    help="Convolutional networks from scratch: train them on real images, look at them, check their gradients.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(data_app, name="data")
weights_app = typer.Typer(help="Weights files: what is in them.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(weights_app, name="weights")

RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, as minicnn train leaves it.")]


@app.command()
def train(
    context: typer.Context,
    model: Annotated[str, typer.Option(help="The network; `minicnn models` lists them.")] = "lenet5",
    data: Annotated[
        str,
        typer.Option(
            help="A data set of `minicnn data list`, or your own: a folder with a folder of images a class, "
            "a .csv of file,label or an .npz."
        ),
    ] = "fashion-mnist-mini",
    epochs: Annotated[int, typer.Option(help="Passes over the training images.")] = 15,
    batch_size: Annotated[int, typer.Option(help="Images a step.")] = 64,
    lr: Annotated[
        float | None,
        typer.Option(help="Learning rate, the peak with one-cycle.", show_default="the optimizer's own"),
    ] = None,
    optimizer: Annotated[
        str, typer.Option(help="sgd (momentum 0.9), adam, adamw, rmsprop or adagrad.")
    ] = "adam",
    schedule: Annotated[str, typer.Option(help="one-cycle, cosine, step or constant.")] = "one-cycle",
    weight_decay: Annotated[float, typer.Option(help="How strongly weights are pulled to zero.")] = 1e-3,
    seed: Annotated[int, typer.Option(help="The same seed gives the same weights.")] = 0,
    balance: Annotated[
        str, typer.Option(help="For classes of unequal size: weights, oversample, undersample or focal.")
    ] = "none",
    augment: Annotated[
        str, typer.Option(help="light, strong, or a list such as flip,crop:4,rotate:15 (docs/data.md).")
    ] = "none",
    on_bad_file: Annotated[
        str, typer.Option(help="error: list images that cannot be read and stop. skip: go on without them.")
    ] = "error",
    device: Annotated[str, typer.Option(help="cpu or cuda; `minicnn devices` says what is there.")] = "cpu",
    early_stopping: Annotated[
        int | None,
        typer.Option(help="Stop after so many epochs without a lower validation loss.", show_default="never"),
    ] = None,
    clip_norm: Annotated[
        float | None, typer.Option(help="Shorten longer gradients to this length.", show_default="never")
    ] = None,
    ema: Annotated[
        float | None,
        typer.Option(help="Keep averaged weights, with this decay (0.999, say).", show_default="off"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The run folder, new or empty.", show_default="runs/<time>-<model>")
    ] = None,
    data_dir: DataDir = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress, only the result.")] = False,
    resume: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Go on with a run that was stopped, with its own settings."),
    ] = None,
) -> None:
    """Train a network. It leaves a run folder with the weights, figures and settings."""
    from minicnn.train import recipe as recipes

    if resume is not None:
        _refuse_settings(context, "resume", "data_dir", "quiet")
        _print_result(recipes.resume(resume, data_dir=data_dir, quiet=quiet))
        return
    recipe = recipes.Recipe(
        model=model,
        data=data,
        epochs=epochs,
        batch_size=batch_size,
        optimizer=optimizer,
        lr=lr,
        schedule=schedule,
        weight_decay=weight_decay,
        seed=seed,
        balance=balance,
        augment=augment,
        on_bad_file=on_bad_file,
        device=device,
        early_stopping=early_stopping,
        clip_norm=clip_norm,
        ema=ema,
    )
    _print_result(recipes.run(recipe, out=out, data_dir=data_dir, quiet=quiet))


def _print_result(result: RunResult) -> None:
    from minicnn.train.balance import of_unequal_size

    test = result.test
    print(f"test accuracy: {test.accuracy:.1%}")
    if of_unequal_size(test.per_class.support):
        recall = test.per_class.recall
        least = min((number for number in range(len(recall)) if recall[number] >= 0), key=recall.__getitem__)
        name = result.folder.read_config()["class_names"][least]
        print(
            f"balanced accuracy (the mean recall of the classes): {test.balanced_accuracy:.1%}; "
            f"the least recall: {recall[least]:.1%}, of {name}"
        )
    print(
        f"weights of epoch {result.best_epoch}, figures and settings are in {result.folder.path} "
        "(look at predictions.png first)"
    )


@app.command()
def evaluate(
    run: RunPath,
    data: Annotated[
        str | None, typer.Option(help="Another data set with the same classes.", show_default="the run's")
    ] = None,
    data_dir: DataDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Test the network of a run. It meets the test images of a data set, class by class."""
    from minicnn.train.finished_command import evaluate_command

    evaluate_command(run, data, data_dir, as_json)


@app.command()
def predict(
    run: RunPath,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE", help="PNG or JPEG files of any size.")],
) -> None:
    """Say what pictures show. Each gets its most probable class, and the next two."""
    from minicnn.train.finished_command import predict_command

    raise typer.Exit(predict_command(run, images))


@app.command()
def models(
    model: Annotated[
        str | None, typer.Argument(help="A network, to see its blocks.", show_default="all")
    ] = None,
    draw: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a picture of that network, such as vgg16.png.")
    ] = None,
) -> None:
    """List the networks with their size, or the blocks of one."""
    from minicnn.models.listing import describe_all, describe_one

    if draw is not None:
        from minicnn.plots.architecture import draw_network

        draw_network(model, draw)
    print(describe_all() if model is None else describe_one(model))


@app.command()
def gradcheck(
    target: Annotated[
        str, typer.Argument(metavar="FILE_OR_MODULE:NAME", help="A layer, such as layers.py:Conv2d.")
    ],
    input_shapes: Annotated[
        list[str], typer.Option("--input", metavar="SHAPE", help="Shape of the input, such as 2,3,8,8.")
    ],
    arguments: Annotated[str, typer.Option("--args", help='As in the call: "3, 16, kernel_size=3".')] = "",
    backward: Annotated[
        str, typer.Option(help="For a function: its backward.", show_default="x_forward -> x_backward")
    ] = "",
    dtype: Annotated[str, typer.Option(help="Of the random input: float64 or float32.")] = "float64",
    seed: Annotated[int, typer.Option(help="Of the random input.")] = 0,
    time_limit: Annotated[float, typer.Option(help="Seconds that the code may run.")] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Check a layer's gradients.

    The layer may be yours or ours. Exit status 0 is PASS, 1 FAIL, 2 UNRESOLVED.
    """
    from minicnn.gradcheck.command import gradcheck_command

    raise typer.Exit(
        gradcheck_command(target, input_shapes, arguments, as_json, time_limit, backward, seed, dtype)
    )


@app.command()
def doctor(
    model: Annotated[str, typer.Option(help="The network; `minicnn models` lists them.")] = "lenet5",
    data: Annotated[
        str, typer.Option(help="A data set by name, or your own, as for train.")
    ] = "fashion-mnist-mini",
    lr: Annotated[
        float | None, typer.Option(help="The learning rate to judge.", show_default="the optimizer's own")
    ] = None,
    optimizer: Annotated[str, typer.Option(help="As for train.")] = "adam",
    batch_size: Annotated[int, typer.Option(help="Images a step.")] = 64,
    seed: Annotated[int, typer.Option(help="Of the weights and the batches.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="A new folder for the figures.", show_default="no figures")
    ] = None,
    data_dir: DataDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Find faults before training.

    Looks at data, start, gradients and learning rate. Exit status 0: nothing is wrong, 1: something is.
    """
    from minicnn.train.doctor.command import doctor_command
    from minicnn.train.recipe import Recipe

    recipe = Recipe(model=model, data=data, lr=lr, optimizer=optimizer, batch_size=batch_size, seed=seed)
    raise typer.Exit(doctor_command(recipe, out, data_dir, as_json))


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Finished run folders.")],
    out: Annotated[
        Path | None,
        typer.Option(help="An HTML file to write, with the curves.", show_default="only the table"),
    ] = None,
) -> None:
    """Put runs side by side. Prints a table of what differs and what came out."""
    from minicnn.train.report.compare import compare_command

    print(compare_command(runs, out))


@app.command()
def sweep(
    context: typer.Context,
    lr: Annotated[str, typer.Option(help='"1e-4:1e-1" (drawn on a log scale) or "1e-3,3e-3".')] = "1e-4:3e-2",
    weight_decay: Annotated[str, typer.Option(help="Likewise.")] = "1e-3",
    optimizer: Annotated[str, typer.Option(help="One, or several with commas between.")] = "adam",
    batch_size: Annotated[str, typer.Option(help="Likewise.")] = "64",
    model: Annotated[str, typer.Option(help="The network.")] = "lenet5",
    data: Annotated[
        str, typer.Option(help="A data set by name, or your own, as for train.")
    ] = "fashion-mnist-mini",
    epochs: Annotated[int, typer.Option(help="Of each training.")] = 3,
    schedule: Annotated[str, typer.Option(help="As for train.")] = "one-cycle",
    trials: Annotated[int, typer.Option(help="Settings to try; with lists alone, all of them.")] = 10,
    repeats: Annotated[int, typer.Option(help="Trainings a setting, each with another seed.")] = 1,
    seed: Annotated[int, typer.Option(help="Of the draws and of the first repeat.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="The folder, new or empty.", show_default="runs/<time>-sweep")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="SWEEP", help="Go on with a sweep that was stopped.")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Search for good settings. Tries many, judges them on held-out training images."""
    from minicnn.train.sweep import Plan, parse_space, resume_sweep, run_sweep

    if resume is not None:
        _refuse_settings(context, "resume", "data_dir")
        print(resume_sweep(resume, data_dir=data_dir))
        return
    space = parse_space(
        {"lr": lr, "weight_decay": weight_decay, "optimizer": optimizer, "batch_size": batch_size}
    )
    fixed = {"model": model, "data": data, "epochs": epochs, "schedule": schedule}
    plan = Plan(space, fixed, trials=trials, repeats=repeats, seed=seed)
    print(run_sweep(plan, out=out, data_dir=data_dir))


@app.command()
def warmup(
    model: Annotated[str, typer.Argument(help="The network; `minicnn models` lists them.")] = "lenet5",
    batch_size: Annotated[int, typer.Option(help="Images a step, as in training.")] = 64,
) -> None:
    """Compile a network's kernels ahead.

    Training then starts at once. The compiled kernels stay on disk.
    """
    from minicnn.train.warmup import warm_up

    seconds = warm_up(model, batch_size)
    print(f"the kernels of {model} for batches of {batch_size} are ready ({seconds:.1f} s)")


@app.command()
def devices() -> None:
    """Say what can compute here. Where CUDA cannot, it says why and what to install."""
    from minicnn.backend import capabilities

    print("\n".join(capabilities()))


@weights_app.command("show")
def weights_show(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .safetensors, .npz or PyTorch .pth file.")],
) -> None:
    """List what a weights file holds. It is checked whole; no code in it can run."""
    from minicnn.weights.command import describe

    print(describe(file))


def main() -> None:
    """Run the command; an error of minicnn's, or a failing disk, becomes one line and exit status 1."""
    # Pillow's word on pictures that are too large; minicnn refuses them, with a message of its own.
    warnings.filterwarnings("ignore", message=r"Image size \(\d+ pixels\) exceeds limit")
    warnings.showwarning = _as_note
    try:
        app(prog_name="minicnn")
    except MinicnnError as error:
        print(f"error: {error}", *getattr(error, "__notes__", ()), sep="\n  ", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        print(f"error: {_of_the_system(error)}", file=sys.stderr)
        sys.exit(1)


def _as_note(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    """A warning without its place in the code, which says nothing to who typed a command."""
    kind = "note" if category is UserWarning else category.__name__
    print(f"{kind}: {message}", file=sys.stderr)


def _of_the_system(error: OSError) -> str:
    """What a disk or the system refused, to which file, and for a full disk what to do."""
    if error.strerror is None:
        return str(error)
    file = f": {error.filename}" if error.filename else ""
    advice = "; make room and try again" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
    return f"{error.strerror}{file}{advice}"


def _refuse_settings(context: typer.Context, *allowed: str) -> None:
    """With --resume the settings are those of the run: another value would be ignored."""
    given = [
        "--" + name.replace("_", "-")
        for name in context.params
        if name not in allowed
        and (source := context.get_parameter_source(name))
        and source.name == "COMMANDLINE"
    ]
    if given:
        raise ConfigError(f"--resume takes all settings from the run: leave out {', '.join(given)}")


if __name__ == "__main__":
    main()
