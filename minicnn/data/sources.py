"""What is published about each data set: files, checksums, classes, licence."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class IdxFile:
    """One published file: its name without .gz, the SHA-256 of the .gz, the MD5 of the content.

    Re-packed copies differ in the SHA-256, so it is the MD5 of the decompressed bytes that is checked; of an
    archive (format "cifar") it is that of the .gz itself.
    """

    name: str
    sha256: str
    md5: str


@dataclass(frozen=True)
class Source:
    """A data set of the catalogue. `files` is empty for the one that comes with minicnn."""

    name: str
    description: str
    licence: str
    class_names: tuple[str, ...]
    train_images: int
    test_images: int
    image_size: tuple[int, int] = (28, 28)
    files: tuple[IdxFile, ...] = ()  # training images and labels, test images and labels
    url: str = ""
    mirrors: tuple[str, ...] = ()  # where else the files are
    format: str = "idx"  # or "cifar"
    channels: int = 1
    torchvision_name: str = ""  # the folder that torchvision puts it in
    advice: str = ""


_GARMENTS = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

_FASHION_MNIST_MINI = Source(
    name="fashion-mnist-mini",
    description="a part of Fashion-MNIST with equally many images of every class; comes with minicnn",
    licence="MIT (Zalando SE)",
    class_names=_GARMENTS,
    train_images=5_000,
    test_images=1_000,
)

_FASHION_MNIST = Source(
    name="fashion-mnist",
    description="Zalando's articles of clothing, grey on black (Xiao, Rasul and Vollgraf 2017)",
    licence="MIT (Zalando SE)",
    class_names=_GARMENTS,
    train_images=60_000,
    test_images=10_000,
    url="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    torchvision_name="FashionMNIST",
    advice="on Debian and Ubuntu: apt-get install dataset-fashion-mnist",
    files=(
        IdxFile(
            "train-images-idx3-ubyte",
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        ),
        IdxFile(
            "train-labels-idx1-ubyte",
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "9018921c3c673c538a1fc5bad174d6f9",
        ),
        IdxFile(
            "t10k-images-idx3-ubyte",
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "8181f5470baa50b63fa0f6fddb340f0a",
        ),
        IdxFile(
            "t10k-labels-idx1-ubyte",
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            "15d484375f8d13e6eb1aabb0c3f46965",
        ),
    ),
)

_MNIST = Source(
    name="mnist",
    description="handwritten digits, white on black (LeCun, Cortes and Burges 1998)",
    licence="CC BY-SA 3.0",
    class_names=tuple("0123456789"),
    train_images=60_000,
    test_images=10_000,
    url="https://ossci-datasets.s3.amazonaws.com/mnist/",
    mirrors=("https://storage.googleapis.com/cvdf-datasets/mnist/",),
    torchvision_name="MNIST",
    files=(
        IdxFile(
            "train-images-idx3-ubyte",
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "6bbc9ace898e44ae57da46a324031adb",
        ),
        IdxFile(
            "train-labels-idx1-ubyte",
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "a25bea736e30d166cdddb491f175f624",
        ),
        IdxFile(
            "t10k-images-idx3-ubyte",
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "2646ac647ad5339dbf082846283269ea",
        ),
        IdxFile(
            "t10k-labels-idx1-ubyte",
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            "27ae3e4e09519cfbb04c329615203637",
        ),
    ),
)

_CIFAR_10 = Source(
    name="cifar-10",
    description="small colour photographs of vehicles and animals (Krizhevsky 2009)",
    licence="not stated",
    class_names=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    train_images=50_000,
    test_images=10_000,
    image_size=(32, 32),
    channels=3,
    format="cifar",
    url="https://www.cs.toronto.edu/~kriz/",
    files=(
        IdxFile(
            "cifar-10-python.tar",
            "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
            "c58f30108f718f92721af3b95e74349a",
        ),
    ),
)

_THINGS = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly
camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup
dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower
leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid
otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray
road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
wardrobe whale willow_tree wolf woman worm
"""

_CIFAR_100 = Source(
    name="cifar-100",
    description="small colour photographs of 100 kinds of things (Krizhevsky 2009)",
    licence="not stated",
    class_names=tuple(_THINGS.split()),
    train_images=50_000,
    test_images=10_000,
    image_size=(32, 32),
    channels=3,
    format="cifar",
    url="https://www.cs.toronto.edu/~kriz/",
    files=(
        IdxFile(
            "cifar-100-python.tar",
            "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
            "eb9058c3a382ffc7106e4002c42a8d85",
        ),
    ),
)

SOURCES = {
    source.name: source for source in (_FASHION_MNIST_MINI, _FASHION_MNIST, _MNIST, _CIFAR_10, _CIFAR_100)
}
