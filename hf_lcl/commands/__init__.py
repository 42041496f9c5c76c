"""The commands of `python -m hf_lcl`, one file each."""

# Each is imported only to run it: some imports take seconds.
COMMANDS = {
    "train": "fine-tune a classifier, with or without a contrastive loss",
    "evaluate": "measure a finished classifier on labelled texts",
    "predict": "a class and its probability for every text of a file",
    "audit": "list the rows of a file with suspect labels, equal texts and outliers",
    "apply": "write a corrected copy of a labelled file from decisions about its rows",
    "next": "choose the texts of a pool to label next",
    "report": "a page with the metrics and plots of a finished classifier",
    "calibrate": "add a class out_of_scope to a finished classifier, and calibrate its probabilities",
    "compare": "cross-entropy, SCL and LCL with as many epochs at most, and several seeds: a table and a paired test",
    "search": "search for the settings that are best on validation texts",
    "demo": "a local page to try a finished classifier, and to correct it",
    "export": "a finished classifier as an ONNX graph, checked against PyTorch",
    "push": "publish a finished classifier on the Hub",
    "completion": "a script with which a shell completes commands, flags and files",
}
