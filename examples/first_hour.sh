#!/usr/bin/env bash
# From a csv to a classifier, predictions, a report, an ONNX graph and a Space, with few flags:
#
#     bash examples/first_hour.sh tickets.csv        # needs: pip install "hf_lcl[demo,onnx]"
set -euo pipefail
FILE=$1
OUT=$(basename "$FILE" | cut -d. -f1)_classifier

hf-lcl train "$@"
hf-lcl predict "$OUT" "$FILE" --output_file labelled.csv
hf-lcl export "$OUT" "$OUT-onnx"
hf-lcl demo "$OUT" --space space
