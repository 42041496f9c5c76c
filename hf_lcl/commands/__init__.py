"""The commands of `python -m hf_lcl`, one file each."""

# Imported when asked for: some take seconds.
COMMANDS = {
    "train": "fine-tune a classifier, with or without a contrastive loss",
    "evaluate": "what a finished classifier is worth on labelled texts",
    "predict": "a class and its probability for every text of a file",
    "audit": "labels of a file that look wrong, equal texts and outliers, the surest first",
    "apply": "a new file from a labelled one and what people decided of its rows",
    "next": "which texts of a pool to label next",
    "report": "pictures and figures of a finished classifier, as one page",
    "calibrate": "a class out_of_scope for a finished classifier, and calibrated probabilities",
    "compare": "cross-entropy, SCL and LCL with the same budget and several seeds: a table and a paired test",
    "search": "the settings that are best on validation texts",
    "demo": "a local page to try a finished classifier, and to correct it",
    "export": "a finished classifier as an ONNX graph, checked against PyTorch",
    "push": "publish a finished classifier on the Hub",
    "completion": "a script by which a shell completes commands, flags and files",
}
