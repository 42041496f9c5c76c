"""`python -m hf_lcl push`: publishes a finished classifier on the Hub."""

from ..hub import push_folder
from .model_flags import model_folder
from .parsing import command_parser, parse_strictly


DESCRIPTION = """\
Publishes the classifier in a folder, its tokenizer and its card on the Hub, and no other file of the folder.

  python -m hf_lcl push out me/my-classifier --private

Log in first (hf auth login), or set HF_TOKEN. Files that are on the Hub already are not uploaded again."""


def main(argv: list[str]) -> None:
    parser = command_parser("push", DESCRIPTION)
    add = parser.add_argument
    add("output_dir", metavar="OUTPUT_DIR", help="folder of a finished training")
    add("repo_id", metavar="USER/NAME", help="repository on the Hub; created where it does not exist")
    add("--private", action="store_true", default=None, help="make a new repository a private one")
    add("--revision", help="branch to publish on; created where it does not exist")
    add(
        "--include_training_state",
        action="store_true",
        help="publish the last checkpoint's model, weighting network included, in the folder training_state too",
    )
    flags = parse_strictly(parser, argv)
    model_folder(flags.output_dir)
    print(push_folder(**vars(flags)).repo_url)
