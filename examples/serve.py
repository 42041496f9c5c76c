"""
A classifier as a web service, by transformers and FastAPI alone: a list of texts in, a list of labels and scores out.

    python examples/serve.py out 8000
    curl -X POST localhost:8000/predict -H "Content-Type: application/json" -d '["I got the job!", "Late again."]'
"""

import sys
from typing import Annotated

import uvicorn
from fastapi import Body, FastAPI
from transformers import pipeline


classify, app = pipeline("text-classification", model=sys.argv[1]), FastAPI()


@app.post("/predict")
async def predict(texts: Annotated[list[str], Body()]):  # async: one at a time, as a tokenizer wants it
    return classify(texts, truncation=True)


uvicorn.run(app, port=int(sys.argv[2]))
